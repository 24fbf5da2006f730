//! One session of the stream `sync/1`, without I/O. SPEC: B13.
//!
//! ```text
//! initiator  hello ->                     pulls and asks; the other side asks in a session of its own
//! responder           <- hello            its window is what both have
//! initiator  negentropy ->                at most 8 of these, each answered by one
//! initiator  pull -> pull ->              256 ids each, two under way
//! responder           <- bodies ...       in the order of the pull, in frames of at most 256 KiB
//! initiator  bye ->
//! ```
//!
//! The owner writes what [`Session::next_action`] gives, one after another, and only then reads the next
//! frame and hands it to [`Session::handle`]: so a peer that does not read makes us hold one frame, never
//! the bodies of a whole pull. It closes the stream when a frame does not come in its time, and after
//! [`Action::Finished`] or a fault. Making a session reads and hashes all ids of its window: not for the
//! core's thread.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use starling_wire::envelope::{EnvelopeId, EnvelopeKey, Epoch, EpochRange};
use starling_wire::limits::SYNC_ID_BYTES;
use starling_wire::sync_frame::{Body, ByeReason, SessionSalt, SyncFrame, SyncHello, SyncId};

use super::initiator::Initiator;
use super::responder::Responder;
use super::set::{Item, ItemSet};
use crate::penalty::Fault;
use crate::pool::{IdSource, PoolError};

/// Items of one session, 84 bytes each: four of the fullest hours, as a hello that costs nothing makes the answering
/// side load them. A larger window is narrowed to its newest hours that hold no more (though never below one
/// hour), and the hello says so.
pub(super) const ITEMS_MAX: usize = 65_536;
/// Bytes of a frame before its payload: length 4, kind 1.
const FRAME_HEADER_BYTES: usize = 5;

/// What a session achieved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncStats {
    /// Envelopes that came.
    pub received: u32,
    /// Envelopes that went.
    pub sent: u32,
    /// Ids that were listed by the other side and then pulled in vain.
    pub absent: u32,
    /// Bytes in both directions, frame headers included.
    pub bytes: u64,
    /// Negentropy messages of the initiator.
    pub rounds: u32,
}

/// The end of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Counts.
    pub stats: SyncStats,
    /// Those of the watched ids that the other side holds, as it says. Empty at the responder.
    pub held: Vec<EnvelopeId>,
    /// The hours that were reconciled; `None` when there were none in common, or no hello came.
    pub window: Option<EpochRange>,
    /// Whether all differences in `window` were found, and all that was pulled was answered. If not, another
    /// session over the same hours goes on where this one ended. Always `false` at the responder.
    pub complete: bool,
    /// The other side had no time for this session, and gave nothing: ask again later. Always `false` at the
    /// responder.
    pub refused: bool,
}

/// What the owner of a session is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Write this frame.
    Send(SyncFrame),
    /// Give these to admission: each is an envelope that was asked for, by its hash, and nothing else is
    /// known of it.
    Received(Vec<Box<[u8]>>),
    /// The session is over; the last action.
    Finished(Outcome),
    /// Our own disk failed; the last action. Nobody is to blame.
    Failed(PoolError),
}

/// The hours that a session between these two hellos is about: those in both windows that both still store
/// whole. The owner of a responder takes its snapshot of these.
pub fn common_hours(one: &SyncHello, other: &SyncHello) -> Option<EpochRange> {
    let hours = one.window.intersect(&other.window)?;
    let oldest = one.oldest_hour.max(other.oldest_hour);
    hours.intersect(&EpochRange { first: oldest, last: hours.last })
}

/// One side of a session.
#[derive(Debug)]
pub struct Session<S> {
    side: Side<S>,
}

#[derive(Debug)]
enum Side<S> {
    Initiator(Box<Initiator>),
    Responder(Responder<S>),
}

impl<S: IdSource> Session<S> {
    /// The side that asks. `snapshot` holds the hours of `hello.window`; `hello.salt` is fresh random bytes.
    /// Of the ids in `watch` it is learnt which the other side holds.
    pub fn initiator(snapshot: S, hello: SyncHello, watch: impl IntoIterator<Item = EnvelopeId>) -> Self {
        Self { side: Side::Initiator(Box::new(Initiator::new(&snapshot, hello, watch.into_iter().collect()))) }
    }

    /// The side that answers, made when the other side's hello has come. `snapshot` holds the
    /// [`common_hours`] of both hellos, or nothing when there are none; `hello` is ours, with the widest
    /// window that we would reconcile, and is sent with what is common.
    pub fn responder(snapshot: S, theirs: &SyncHello, hello: SyncHello) -> Self {
        Self { side: Side::Responder(Responder::new(snapshot, theirs, hello)) }
    }

    /// Takes a frame of the other side.
    ///
    /// # Errors
    /// [`Fault::SyncViolation`] when it breaks the protocol. The session is over then: send
    /// [`ByeReason::VIOLATION`] if you like, and close the stream.
    pub fn handle(&mut self, frame: SyncFrame) -> Result<(), Fault> {
        match &mut self.side {
            Side::Initiator(initiator) => initiator.handle(frame),
            Side::Responder(responder) => responder.handle(frame),
        }
    }

    /// What to do next; `None`: wait for a frame.
    pub fn next_action(&mut self) -> Option<Action> {
        match &mut self.side {
            Side::Initiator(initiator) => initiator.line.next(),
            Side::Responder(responder) => responder.next_action(),
        }
    }

    /// Ids that the responder loaded for this session; 0 at the initiator.
    pub fn loaded(&self) -> usize {
        match &self.side {
            Side::Initiator(_) => 0,
            Side::Responder(responder) => responder.loaded,
        }
    }

    /// What was achieved so far, for a session whose stream broke.
    pub fn outcome(&self) -> Outcome {
        match &self.side {
            Side::Initiator(initiator) => initiator.outcome(),
            Side::Responder(responder) => responder.outcome(),
        }
    }
}

/// What leaves a session, and the counts.
#[derive(Debug, Default)]
pub(super) struct Line {
    queue: VecDeque<Action>,
    pub(super) stats: SyncStats,
    /// Nothing is taken any more.
    pub(super) is_over: bool,
}

impl Line {
    pub(super) fn next(&mut self) -> Option<Action> {
        self.queue.pop_front()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn send(&mut self, frame: SyncFrame) {
        self.count(&frame);
        self.queue.push_back(Action::Send(frame));
    }

    pub(super) fn count(&mut self, frame: &SyncFrame) {
        let bytes = u64::try_from(frame_bytes(frame)).unwrap_or(u64::MAX);
        self.stats.bytes = self.stats.bytes.saturating_add(bytes);
    }

    pub(super) fn push(&mut self, action: Action) {
        self.queue.push_back(action);
    }

    pub(super) fn end(&mut self, last: Action) {
        self.is_over = true;
        self.queue.push_back(last);
    }

    /// The other side broke the protocol: nothing more is taken or sent.
    pub(super) fn violation(&mut self) -> Fault {
        self.is_over = true;
        self.queue.clear();
        Fault::SyncViolation
    }
}

fn frame_bytes(frame: &SyncFrame) -> usize {
    let payload = match frame {
        SyncFrame::Hello(_) => 36,
        SyncFrame::Negentropy(message) => message.len(),
        SyncFrame::Pull(ids) => ids.len().saturating_mul(SYNC_ID_BYTES),
        SyncFrame::Bodies(bodies) => bodies.iter().map(Body::encoded_bytes).fold(0, usize::saturating_add),
        SyncFrame::Bye(_) => 1,
    };
    payload.saturating_add(FRAME_HEADER_BYTES)
}

/// The envelopes of a session: items in order, and at the same index where each is stored.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) set: ItemSet,
    pub(super) keys: Vec<EnvelopeKey>,
}

impl Catalogue {
    /// Those of `keys` that lie in `window`, under the session's salt.
    pub(super) fn new(keys: Vec<EnvelopeKey>, window: EpochRange, salt: &SessionSalt) -> Self {
        let within = keys.into_iter().filter(|key| window.contains(key.epoch));
        let mut rows: Vec<(Item, EnvelopeKey)> = within.map(|key| (item(salt, &key), key)).collect();
        rows.sort_unstable_by_key(|(item, _)| *item);
        rows.dedup_by_key(|(item, _)| *item);
        let (items, keys) = rows.into_iter().unzip();
        Self { set: ItemSet::new(items), keys }
    }
}

fn item(salt: &SessionSalt, key: &EnvelopeKey) -> Item {
    Item { timestamp: u64::from(key.epoch.0), id: long_id(salt, &key.id) }
}

/// id' whole, as it stands in negentropy messages.
pub(super) fn long_id(salt: &SessionSalt, id: &EnvelopeId) -> [u8; 32] {
    *blake3::keyed_hash(salt.as_bytes(), &id.0).as_bytes()
}

/// id' as it stands in pulls: the first bytes of the long one.
pub(super) fn short_id(long: &[u8; 32]) -> SyncId {
    SyncId(long.first_chunk().copied().unwrap_or_default())
}

/// The newest hours of `window` in which `snapshot` has at most [`ITEMS_MAX`] envelopes, but at least the
/// newest hour that has any (that one is bounded by the network's budget), and the keys of these. A hello is
/// 41 bytes and costs its sender nothing, so keys that the session will not hold are not loaded for it.
pub(super) fn load(snapshot: &impl IdSource, window: EpochRange) -> (EpochRange, Vec<EnvelopeKey>) {
    if let Some(counts) = snapshot.counts() {
        let window = narrow(&counts, window);
        return (window, snapshot.keys_within(window));
    }
    let mut keys = snapshot.keys_within(window);
    let mut counts: BTreeMap<Epoch, usize> = BTreeMap::new();
    for key in &keys {
        let count = counts.entry(key.epoch).or_default();
        *count = count.saturating_add(1);
    }
    let window = narrow(&counts, window);
    keys.retain(|key| window.contains(key.epoch));
    (window, keys)
}

fn narrow(counts: &BTreeMap<Epoch, usize>, window: EpochRange) -> EpochRange {
    let mut total: usize = 0;
    for (epoch, count) in counts.iter().rev().filter(|(epoch, _)| window.contains(**epoch)) {
        if total > 0 && total.saturating_add(*count) > ITEMS_MAX {
            return EpochRange { first: epoch.plus(1), last: window.last };
        }
        total = total.saturating_add(*count);
    }
    window
}

/// Fuzz entry point: `data` as frames that one side after another gets from a hostile peer. Nothing may
/// panic, and what a session sends must be a frame that the other side can decode.
pub fn fuzz(data: &[u8]) {
    let hello = |salt| SyncHello {
        salt: [salt; 16],
        oldest_hour: Epoch(0),
        window: EpochRange { first: Epoch(0), last: Epoch(9) },
        unix_ms: 0,
    };
    let watch: BTreeSet<EnvelopeId> = [EnvelopeId([7; 32])].into();
    let sides = [
        Session::initiator(crate::pool::MemorySnapshot::default(), hello(1), watch),
        Session::responder(crate::pool::MemorySnapshot::default(), &hello(1), hello(2)),
    ];
    for mut session in sides {
        let mut reader = starling_wire::sync_frame::SyncFrameReader::new();
        let mut input = data;
        loop {
            while let Some(action) = session.next_action() {
                if let Action::Send(frame) = action {
                    assert!(frame.encode().is_ok(), "a frame that cannot be encoded");
                }
            }
            let Ok(Some(frame)) = reader.read(&mut input) else { break };
            if session.handle(frame).is_err() {
                break;
            }
        }
    }
}

/// The last word of a session that found nothing to do.
pub(super) const NOTHING_IN_COMMON: SyncFrame = SyncFrame::Bye(ByeReason::NO_COMMON_HOURS);
