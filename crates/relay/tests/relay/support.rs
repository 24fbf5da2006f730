//! Envelopes, pools and two sessions wired together.

use std::collections::BTreeSet;

use starling_relay::admit::{self, Checked};
use starling_relay::pool::{EnvelopePool, IdSource, MemoryPool};
use starling_relay::stamp;
use starling_relay::sync::{Action, Outcome, Session, common_hours};
use starling_wire::envelope::{Class, Envelope, EnvelopeId, Epoch, EpochRange, Head, Tag, TopicId};
use starling_wire::limits::STAMP_BYTES;
use starling_wire::network::NetworkParameters;
use starling_wire::sync_frame::{SyncFrame, SyncHello};

/// This node's epoch in tests.
pub(crate) const NOW: Epoch = Epoch(480_000);
pub(crate) const TOPIC: TopicId = TopicId(0);

pub(crate) fn parameters() -> NetworkParameters {
    NetworkParameters::test("relay-test")
}

/// Bytes that look random, for a number.
pub(crate) fn noise(number: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// An envelope as [`unstamped`] makes it, under `tag`.
pub(crate) fn under_tag(tag: Tag, epoch: Epoch, number: u64) -> Envelope {
    let head = Head { tag, ..head(Class::Small, epoch, number) };
    Envelope::assemble(&head, &[0; STAMP_BYTES], 1, &noise(!number, Class::Small.body_bytes())).unwrap()
}

fn head(class: Class, epoch: Epoch, number: u64) -> Head {
    let bytes = noise(number, 48);
    let (tag, ephemeral) = bytes.split_at(16);
    Head { class, topic: TOPIC, epoch, tag: Tag(tag.try_into().unwrap()), ephemeral: ephemeral.try_into().unwrap() }
}

/// An envelope with a stamp that nobody solved: enough for everything behind admission.
pub(crate) fn unstamped(class: Class, epoch: Epoch, effort: u32, number: u64) -> Envelope {
    let body = noise(!number, class.body_bytes());
    Envelope::assemble(&head(class, epoch, number), &[0; STAMP_BYTES], effort, &body).unwrap()
}

/// An envelope with a real stamp of the lowest effort of its class.
pub(crate) fn stamped(parameters: &NetworkParameters, class: Class, epoch: Epoch, number: u64) -> Envelope {
    let [effort, ..] = parameters.efforts(class);
    stamped_with(parameters, head(class, epoch, number), effort, number)
}

pub(crate) fn stamped_with(parameters: &NetworkParameters, head: Head, effort: u32, number: u64) -> Envelope {
    let body = noise(!number, head.class.body_bytes());
    let challenge = stamp::challenge(&parameters.id(), &head, effort, &body);
    let stamp = stamp::solve(challenge, effort, number, || false).unwrap();
    Envelope::assemble(&head, &stamp.0, effort, &body).unwrap()
}

/// As a pool on disk takes back what it stored.
pub(crate) fn stored(envelope: &Envelope) -> Checked {
    admit::check_stored(envelope.as_bytes(), &envelope.id()).unwrap()
}

pub(crate) fn pool_of<'a>(envelopes: impl IntoIterator<Item = &'a Envelope>) -> MemoryPool {
    let mut pool = MemoryPool::new(&parameters());
    for envelope in envelopes {
        pool.insert(&stored(envelope), NOW).unwrap();
    }
    pool
}

pub(crate) fn ids(pool: &MemoryPool) -> BTreeSet<EnvelopeId> {
    pool.snapshot(everything()).keys().into_iter().map(|key| key.id).collect()
}

/// All hours that a node reconciles.
pub(crate) fn everything() -> EpochRange {
    EpochRange { first: NOW.minus(336), last: NOW.plus(1) }
}

pub(crate) fn hello(salt: u8, window: EpochRange) -> SyncHello {
    SyncHello { salt: [salt; 16], oldest_hour: NOW.minus(336), window, unix_ms: NOW.start_unix_ms() }
}

/// What one session did.
pub(crate) struct Run {
    pub(crate) initiator: Outcome,
    pub(crate) responder: Option<Outcome>,
    pub(crate) received: Vec<Box<[u8]>>,
    pub(crate) frames: Vec<SyncFrame>,
}

/// Runs a session between two views, every frame through its bytes.
pub(crate) fn run<A: IdSource, B: IdSource>(
    asking: A,
    mine: SyncHello,
    watch: &[EnvelopeId],
    answering: B,
    theirs: SyncHello,
) -> Run {
    let mut run_frames = Vec::new();
    let mut received = Vec::new();
    let mut initiator = Session::initiator(asking, mine, watch.iter().copied());
    let mut answering = Some(answering);
    let mut responder = None;
    let mut responder_outcome = None;
    loop {
        match initiator.next_action().expect("both sides wait for each other") {
            Action::Send(frame) => {
                let frame = through_bytes(&frame);
                run_frames.push(frame.clone());
                match (&mut responder, frame) {
                    (None, SyncFrame::Hello(hello)) => {
                        responder = Some(Session::responder(answering.take().unwrap(), &hello, theirs));
                    }
                    (None, frame) => panic!("begins with {frame:?}"),
                    (Some(responder), frame) => responder.handle(frame).unwrap(),
                }
                while let Some(action) = responder.as_mut().and_then(Session::next_action) {
                    match action {
                        Action::Send(frame) => {
                            let frame = through_bytes(&frame);
                            run_frames.push(frame.clone());
                            initiator.handle(frame).unwrap();
                        }
                        Action::Finished(outcome) => responder_outcome = Some(outcome),
                        action => panic!("a responder gives {action:?}"),
                    }
                }
            }
            Action::Received(bodies) => received.extend(bodies),
            Action::Finished(outcome) => {
                return Run { initiator: outcome, responder: responder_outcome, received, frames: run_frames };
            }
            Action::Failed(error) => panic!("{error}"),
        }
    }
}

fn through_bytes(frame: &SyncFrame) -> SyncFrame {
    let bytes = frame.encode().unwrap();
    SyncFrame::decode(&bytes).unwrap()
}

/// `asking` asks `answering` about everything and stores what comes; sessions go on until one is complete.
pub(crate) fn pull(asking: &mut MemoryPool, answering: &MemoryPool, watch: &[EnvelopeId]) -> Vec<Run> {
    let mut runs = Vec::new();
    loop {
        let (mine, theirs) = (hello(1, everything()), hello(2, everything()));
        let hours = common_hours(&mine, &theirs).unwrap();
        let run = run(asking.snapshot(mine.window), mine, watch, answering.snapshot(hours), theirs);
        for bytes in &run.received {
            let envelope = Envelope::parse(bytes.clone()).unwrap();
            asking.insert(&stored(&envelope), NOW).unwrap();
        }
        let complete = run.initiator.complete;
        runs.push(run);
        assert!(runs.len() < 50, "does not converge");
        if complete {
            return runs;
        }
    }
}
