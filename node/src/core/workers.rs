//! The three worker threads: one checks envelopes before the core sees them and opens cells and first contacts;
//! one solves stamps, and can be told to stop; one looks through the pool's files for mail of this node's user. The
//! last two have a low priority.
//!
//! Checks come first in the first thread's two queues: a verdict on gossip never waits behind a trial
//! opening, which is work for this node's own user.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use rand::rngs::StdRng;
use starling_messenger::job::{Job, Lane};
use starling_messenger::turn::{GossipToken, Input, JobId, LinkId, Verdict};
use starling_relay::admit::{Checked, Gate, Route};
use starling_relay::penalty::Fault;
use starling_wire::envelope::{Epoch, TopicId};
use starling_wire::network::NetworkParameters;
use tokio::sync::{mpsc, oneshot};

use super::bridge::Clock;
use super::lanes::Control;

/// An envelope to check before the core sees it.
pub(crate) enum Check {
    /// From gossip: a verdict is due.
    Gossip { token: GossipToken, link: LinkId, bytes: Vec<u8> },
    /// From sync: the stream's task waits for what is good and for the first fault.
    Pulled { envelopes: Vec<Box<[u8]>>, answer: oneshot::Sender<(Vec<Checked>, Option<Fault>)> },
}

/// What the check thread found about a gossip message, for the core or for the network.
pub(crate) enum Judged {
    /// Good: to the core.
    Good(Input),
    /// Not for the core: the verdict, and who is to blame.
    Bad { token: GossipToken, link: LinkId, verdict: Verdict },
}

type JobQueue = VecDeque<(JobId, Job, Arc<AtomicBool>)>;

#[derive(Default)]
struct Queues {
    checks: VecDeque<Check>,
    jobs: JobQueue,
    stamps: JobQueue,
    searches: JobQueue,
    running: BTreeMap<JobId, Arc<AtomicBool>>,
    stopping: bool,
}

struct Inner {
    queues: Mutex<Queues>,
    more: Condvar,
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queues of the workers.
#[derive(Clone)]
pub(crate) struct Workers {
    inner: Arc<Inner>,
}

/// Ids of envelopes found good, remembered so that a second way to us costs no second check of a stamp.
const GOOD_IDS_MAX: usize = 16_384;

impl Workers {
    pub(crate) fn new() -> Self {
        Self { inner: Arc::new(Inner { queues: Mutex::default(), more: Condvar::new() }) }
    }

    /// Starts the threads. `judged` takes what became of gossip; it must not block for long.
    pub(crate) fn start(
        &self,
        parameters: &NetworkParameters,
        topic: TopicId,
        control: mpsc::Sender<Control>,
        judged: impl Fn(Judged) + Send + 'static,
    ) -> std::io::Result<Vec<JoinHandle<()>>> {
        let mut gate = Gate::new(parameters, topic, GOOD_IDS_MAX);
        let (checker, solver, searcher) = (self.inner.clone(), self.inner.clone(), self.inner.clone());
        let (stamped, found) = (control.clone(), control.clone());
        let check = std::thread::Builder::new().name("check".to_owned()).spawn(move || {
            check_loop(&checker, &mut gate, &control, &judged);
        })?;
        let stamp = std::thread::Builder::new().name("stamp".to_owned()).spawn(move || {
            lower_priority();
            job_loop(&solver, &stamped, |queues| &mut queues.stamps);
        })?;
        let search = std::thread::Builder::new().name("search".to_owned()).spawn(move || {
            lower_priority();
            job_loop(&searcher, &found, |queues| &mut queues.searches);
        })?;
        Ok(vec![check, stamp, search])
    }

    /// Queues a check. The callers are bounded: gossip by its credits, sync by its few streams.
    pub(crate) fn check(&self, check: Check) {
        self.inner.lock().checks.push_back(check);
        self.inner.more.notify_all();
    }

    /// Queues a job; the core bounds how many it gives out.
    pub(crate) fn compute(&self, id: JobId, job: Job) {
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut queues = self.inner.lock();
        queues.running.insert(id, cancelled.clone());
        let queue = match job.lane() {
            Lane::Verify => &mut queues.jobs,
            Lane::Stamp => &mut queues.stamps,
            Lane::Search => &mut queues.searches,
        };
        queue.push_back((id, job, cancelled));
        drop(queues);
        self.inner.more.notify_all();
    }

    /// Ends a job early, whether it runs or waits. Its result still comes, and the core ignores it.
    pub(crate) fn cancel(&self, id: JobId) {
        if let Some(cancelled) = self.inner.lock().running.get(&id) {
            cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Lets the threads end.
    pub(crate) fn stop(&self) {
        let mut queues = self.inner.lock();
        queues.stopping = true;
        queues.running.values().for_each(|cancelled| cancelled.store(true, Ordering::Relaxed));
        drop(queues);
        self.inner.more.notify_all();
    }
}

enum Next {
    Check(Check),
    Job(JobId, Job, Arc<AtomicBool>),
}

fn check_loop(inner: &Inner, gate: &mut Gate, control: &mpsc::Sender<Control>, judged: &dyn Fn(Judged)) {
    let mut rng: StdRng = rand::make_rng();
    loop {
        let mut queues = inner.lock();
        let next = loop {
            if queues.stopping {
                return;
            }
            if let Some(check) = queues.checks.pop_front() {
                break Next::Check(check);
            }
            if let Some((id, job, cancelled)) = queues.jobs.pop_front() {
                break Next::Job(id, job, cancelled);
            }
            queues = inner.more.wait(queues).unwrap_or_else(PoisonError::into_inner);
        };
        drop(queues);
        match next {
            Next::Check(check) => run_check(check, gate, judged),
            Next::Job(id, job, cancelled) => finish(inner, control, id, job, &cancelled, &mut rng),
        }
    }
}

fn job_loop(inner: &Inner, control: &mpsc::Sender<Control>, queue: impl Fn(&mut Queues) -> &mut JobQueue) {
    let mut rng: StdRng = rand::make_rng();
    loop {
        let mut queues = inner.lock();
        let (id, job, cancelled) = loop {
            if queues.stopping {
                return;
            }
            if let Some(job) = queue(&mut queues).pop_front() {
                break job;
            }
            queues = inner.more.wait(queues).unwrap_or_else(PoisonError::into_inner);
        };
        drop(queues);
        finish(inner, control, id, job, &cancelled, &mut rng);
    }
}

fn finish(
    inner: &Inner,
    control: &mpsc::Sender<Control>,
    id: JobId,
    job: Job,
    cancelled: &AtomicBool,
    rng: &mut StdRng,
) {
    let result = job.run(cancelled, rng);
    inner.lock().running.remove(&id);
    // The core may be gone.
    let _ = control.blocking_send(Control::Input(Input::Computed { id, result }));
}

fn run_check(check: Check, gate: &mut Gate, judged: &dyn Fn(Judged)) {
    let epoch = Epoch::from_unix_ms(Clock::unix_ms_now());
    match check {
        Check::Gossip { token, link, bytes } => judged(match gate.check(bytes, epoch, Route::Gossip) {
            Ok(envelope) => Judged::Good(Input::Gossip { token, link, envelope }),
            Err(Fault::EpochOutOfWindow) => Judged::Bad { token, link, verdict: Verdict::Ignore },
            Err(fault) => Judged::Bad { token, link, verdict: Verdict::Reject(fault) },
        }),
        Check::Pulled { envelopes, answer } => {
            let mut good = Vec::new();
            let mut worst = None;
            for bytes in envelopes {
                match gate.check(bytes, epoch, Route::Sync) {
                    Ok(envelope) => good.push(envelope),
                    Err(Fault::EpochOutOfWindow) => {}
                    Err(fault) => {
                        worst = Some(fault);
                        break;
                    }
                }
            }
            // The stream may have ended meanwhile.
            let _ = answer.send((good, worst));
        }
    }
}

/// Stamps and look-ups must not slow down the person's other programs.
fn lower_priority() {
    const NICENESS: i32 = 10;
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}
