//! Runs reconciliations beside the core: one task a stream drives a sans-io session over an immutable
//! view of the pool. What is pulled goes through admission and into the core by its own lane.
//!
//! A reconciliation of hundreds of thousands of ids takes a core for a while: in the core's loop it would
//! be a stall that a neighbour can see.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use starling_messenger::turn::{Input, LinkId, SyncBroken, SyncStats};
use starling_net::{NetHandle, SyncStream};
use starling_relay::penalty::Fault;
use starling_relay::sync::{Action, Outcome, Session, SyncQuota, common_hours};
use starling_wire::envelope::{Epoch, EpochRange};
use starling_wire::network::NetworkParameters;
use starling_wire::sync_frame::{ByeReason, SyncFrame, SyncFrameReader, SyncHello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::bridge::Clock;
use super::lanes::{Control, Lanes, Snapshot};
use super::release::{Release, SyncOrder};
use super::workers::{Check, Workers};

/// Longest wait for one whole frame, or for one to be taken: 256 KiB, so a line of 13 KB/s is enough, and a
/// neighbour that trickles bytes does not keep a place.
const FRAME_MAX: Duration = Duration::from_secs(20);
/// Longest reconciliation: a first catch-up of gigabytes over a slow line goes on in the next one.
const SESSION_MAX: Duration = Duration::from_secs(180);
/// Sessions, one after another, of one reconciliation: each ends after 64 MiB or 16,000 ids.
const SESSIONS_MAX: u32 = 128;
/// Links whose budgets are kept, of those that ended too: one that flaps finds its own again, not a full one.
const QUOTAS_MAX: usize = 256;
/// Ids that are loaded for all neighbours together: half a million a second, about a tenth of a core. Who comes back
/// under one name after another gets no more than this.
const LOAD_US_PER_ID: u64 = 2;
/// Bytes read at once.
const READ_BYTES: usize = 8 * 1024;

/// Starts reconciliations and answers those of others.
#[derive(Clone)]
pub(crate) struct SyncDriver {
    net: NetHandle,
    lanes: Lanes,
    workers: Workers,
    release: Arc<Release>,
    /// Tasks by link: they end with it, so that a link that comes and goes cannot pile them up.
    running: Arc<Mutex<HashMap<LinkId, Vec<AbortHandle>>>>,
    parameters: Arc<NetworkParameters>,
    /// What each link may still ask; locked while it is loaded for: one load at a time and link.
    quotas: Arc<Mutex<BTreeMap<LinkId, Arc<tokio::sync::Mutex<SyncQuota>>>>>,
    /// One load at a time for all of them, in the order of their coming.
    loading: Arc<tokio::sync::Mutex<()>>,
    started: Instant,
}

/// Why a reconciliation ended early.
enum Broken {
    /// The stream ended, or nothing came for too long.
    Stream,
    /// The neighbour broke the protocol.
    Fault(Fault),
}

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self::Stream
    }
}

impl SyncDriver {
    pub(crate) fn new(
        net: NetHandle,
        lanes: Lanes,
        workers: Workers,
        release: Arc<Release>,
        parameters: &NetworkParameters,
    ) -> Self {
        Self {
            net,
            lanes,
            workers,
            release,
            running: Arc::default(),
            parameters: Arc::new(parameters.clone()),
            quotas: Arc::default(),
            loading: Arc::default(),
            started: Instant::now(),
        }
    }

    /// Starts what the core orders, each in a task of its own; the core bounds how many.
    pub(crate) async fn run(self, mut orders: mpsc::Receiver<SyncOrder>) {
        while let Some(order) = orders.recv().await {
            let link = order.link;
            let task = tokio::spawn(self.clone().initiate(order));
            self.note(link, task.abort_handle());
        }
    }

    fn note(&self, link: LinkId, task: AbortHandle) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks = running.entry(link).or_default();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// The link ended: so do its reconciliations, without a word to the core, which knows.
    pub(crate) fn link_down(&self, link: LinkId) {
        let tasks = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&link);
        tasks.into_iter().flatten().for_each(|task| task.abort());
    }

    async fn initiate(self, order: SyncOrder) {
        let (link, mut window) = (order.link, order.window);
        let ended = match timeout(SESSION_MAX, self.ask(order)).await {
            Ok(ended) => ended,
            Err(_) => Err(Broken::Stream),
        };
        let (held, result) = match ended {
            Ok((outcome, None)) => (outcome.held, Ok(stats(&outcome.stats))),
            Ok((outcome, Some(rest))) => {
                window = rest;
                (outcome.held, Err(SyncBroken::Busy))
            }
            Err(Broken::Stream) => (Vec::new(), Err(SyncBroken::Stream)),
            Err(Broken::Fault(fault)) => (Vec::new(), Err(SyncBroken::Fault(fault))),
        };
        // The core ends before the network does.
        let _ = self.lanes.network.send(Input::SyncEnded { link, window, held, result }).await;
    }

    /// As many sessions, one after another, as the order's window needs: each has its limits, goes on where
    /// the last one ended, and covers the newest hours that it can. With the hours that are left to do when the
    /// neighbour had no time for more.
    async fn ask(&self, order: SyncOrder) -> Result<(Outcome, Option<EpochRange>), Broken> {
        let mut window = order.window;
        let mut total = self.ask_once(&order, window).await?;
        let mut last = total.clone();
        for _ in 1..SESSIONS_MAX {
            if last.refused {
                break;
            }
            let covered = last.window.filter(|_| last.complete);
            match covered {
                None if last.stats.received > 0 => {}
                Some(covered) if covered.first > window.first => window.last = covered.first.minus(1),
                _ => break,
            }
            last = self.ask_once(&order, window).await?;
            total.held.extend(&last.held);
            total.complete = last.complete;
            add(&mut total.stats, &last.stats);
        }
        let rest = last.refused.then_some(window);
        Ok((total, rest))
    }

    async fn ask_once(&self, order: &SyncOrder, window: EpochRange) -> Result<Outcome, Broken> {
        let (snapshot, oldest_hour) = view(&self.lanes.pulled, window).await?;
        let mut stream = self.net.open_sync(starling_net::LinkId(order.link.0)).await.map_err(|_| Broken::Stream)?;
        let hello = hello(oldest_hour, window);
        let watch = order.watch.clone();
        let session = beside(move || Session::initiator(snapshot, hello, watch)).await?;
        self.drive(order.link, &mut stream, SyncFrameReader::new(), session).await
    }

    /// Answers a neighbour's reconciliation in a task of its own; the network bounds how many, and its link's budget
    /// how much they cost.
    pub(crate) fn respond(&self, link: LinkId, stream: SyncStream) {
        let driver = self.clone();
        let task = tokio::spawn(async move {
            let answered = timeout(SESSION_MAX, driver.answer(link, stream)).await;
            if let Ok(Err(Broken::Fault(fault))) = answered {
                driver.release.penalize(link, fault);
            }
        });
        self.note(link, task.abort_handle());
    }

    async fn answer(&self, link: LinkId, mut stream: SyncStream) -> Result<Outcome, Broken> {
        let mut reader = SyncFrameReader::new();
        let SyncFrame::Hello(theirs) = read(&mut stream, &mut reader).await? else {
            return Err(Broken::Fault(Fault::SyncViolation));
        };
        let quota = self.quota(link);
        let mut budget = quota.lock().await;
        if !budget.begin(self.monotonic_ms()) {
            write(&mut stream, &SyncFrame::Bye(ByeReason::BUSY)).await?;
            let _ = stream.shutdown().await;
            return Err(Broken::Stream);
        }
        let newest = Epoch::from_unix_ms(Clock::unix_ms_now()).plus(1);
        let all = EpochRange { first: Epoch(0), last: newest };
        // The hours in common are known once our horizon is: a first view tells it, at no cost.
        let (_, oldest_hour) = view(&self.lanes.pulled, EpochRange { first: newest, last: newest }).await?;
        let ours = hello(oldest_hour, all);
        let common = common_hours(&theirs, &ours).unwrap_or(EpochRange { first: newest.plus(1), last: newest.plus(1) });
        let loading = self.loading.clone().lock_owned().await;
        let (snapshot, _) = view(&self.lanes.pulled, common).await?;
        let session = beside(move || Session::responder(snapshot, &theirs, ours)).await?;
        budget.loaded(session.loaded());
        drop(budget);
        let pause = Duration::from_micros((session.loaded() as u64).saturating_mul(LOAD_US_PER_ID));
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            drop(loading);
        });
        let outcome = self.drive(link, &mut stream, reader, session).await?;
        quota.lock().await.served(outcome.stats.sent, self.monotonic_ms());
        Ok(outcome)
    }

    /// What `link` may still ask.
    fn quota(&self, link: LinkId) -> Arc<tokio::sync::Mutex<SyncQuota>> {
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        if quotas.len() >= QUOTAS_MAX && !quotas.contains_key(&link) {
            // The lowest is the oldest connection.
            quotas.pop_first();
        }
        let full = || SyncQuota::new(&self.parameters, self.monotonic_ms());
        quotas.entry(link).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(full()))).clone()
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Carries frames both ways until the session ends.
    async fn drive(
        &self,
        link: LinkId,
        stream: &mut SyncStream,
        mut reader: SyncFrameReader,
        mut session: Session<Snapshot>,
    ) -> Result<Outcome, Broken> {
        loop {
            while let Some(action) = session.next_action() {
                match action {
                    Action::Send(frame) => write(stream, &frame).await?,
                    Action::Received(bodies) => self.pulled(link, bodies).await?,
                    Action::Finished(outcome) => {
                        let _ = stream.shutdown().await;
                        return Ok(outcome);
                    }
                    Action::Failed(error) => {
                        tracing::warn!(%error, "the pool could not be read for a reconciliation");
                        return Err(Broken::Stream);
                    }
                }
            }
            let frame = read(stream, &mut reader).await?;
            // Fingerprints over a large pool take a while.
            let (same, handled) = beside(move || {
                let handled = session.handle(frame);
                (session, handled)
            })
            .await?;
            session = same;
            handled.map_err(Broken::Fault)?;
        }
    }

    /// Admission of what was pulled, then the core; waits for both, which holds up the neighbour.
    async fn pulled(&self, link: LinkId, envelopes: Vec<Box<[u8]>>) -> Result<(), Broken> {
        let (answer, checked) = oneshot::channel();
        self.workers.check(Check::Pulled { envelopes, answer });
        let (envelopes, fault) = checked.await.map_err(|_| Broken::Stream)?;
        if !envelopes.is_empty() {
            let input = Input::Pulled { link, envelopes };
            self.lanes.pulled.send(Control::Input(input)).await.map_err(|_| Broken::Stream)?;
        }
        fault.map_or(Ok(()), |fault| Err(Broken::Fault(fault)))
    }
}

async fn write(stream: &mut SyncStream, frame: &SyncFrame) -> Result<(), Broken> {
    let bytes = frame.encode().map_err(|_| Broken::Stream)?;
    let written = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    timeout(FRAME_MAX, written).await.map_err(|_| Broken::Stream)??;
    Ok(())
}

/// Reads one frame, in its time.
async fn read(stream: &mut SyncStream, reader: &mut SyncFrameReader) -> Result<SyncFrame, Broken> {
    timeout(FRAME_MAX, read_frame(stream, reader)).await.map_err(|_| Broken::Stream)?
}

/// Never reads more than the frame still lacks, so that nothing of the next one is lost.
async fn read_frame(stream: &mut SyncStream, reader: &mut SyncFrameReader) -> Result<SyncFrame, Broken> {
    let mut buffer = [0; READ_BYTES];
    loop {
        let room = reader.missing_bytes().clamp(1, buffer.len());
        let read = stream.read(&mut buffer[..room]).await?;
        if read == 0 {
            return Err(Broken::Stream);
        }
        let mut input = &buffer[..read];
        match reader.read(&mut input) {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => {}
            Err(_) => return Err(Broken::Fault(Fault::SyncViolation)),
        }
    }
}

/// Runs what may take long beside the runtime's threads.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Broken::Stream)
}

/// A view of `window`, and the pool's horizon, by way of `lane`.
async fn view(lane: &mpsc::Sender<Control>, window: EpochRange) -> Result<(Snapshot, Epoch), Broken> {
    let (answer, snapshot) = oneshot::channel();
    lane.send(Control::Snapshot { window, answer }).await.map_err(|_| Broken::Stream)?;
    snapshot.await.map_err(|_| Broken::Stream)
}

fn add(total: &mut starling_relay::sync::SyncStats, more: &starling_relay::sync::SyncStats) {
    total.received = total.received.saturating_add(more.received);
    total.sent = total.sent.saturating_add(more.sent);
    total.absent = total.absent.saturating_add(more.absent);
    total.bytes = total.bytes.saturating_add(more.bytes);
    total.rounds = total.rounds.saturating_add(more.rounds);
}

fn hello(oldest_hour: Epoch, window: EpochRange) -> SyncHello {
    SyncHello { salt: rand::random(), oldest_hour, window, unix_ms: Clock::unix_ms_now() }
}

fn stats(stats: &starling_relay::sync::SyncStats) -> SyncStats {
    SyncStats { received: stats.received, sent: stats.sent, bytes: stats.bytes, rounds: stats.rounds }
}
