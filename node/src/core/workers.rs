//! The four worker threads: one checks envelopes before the core sees them and opens cells and first contacts; two
//! solve stamps, and can be told to stop; one looks through the pool's files for mail of this node's user. The second
//! for stamps and the last have a low priority.
//!
//! Stamps that somebody waits for have a thread of their own, and while it works the other one, for confirmations and
//! bundles, rests: it gives up the nonce after the one it is at, and loses nothing else.
//!
//! Checks come first in the first thread's two queues: a verdict on gossip never waits behind a trial
//! opening, which is work for this node's own user.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use rand::rngs::StdRng;
use starling_messenger::job::{Job, JobResult, Lane, StampJob};
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

/// A stamp to solve.
struct Stamping {
    id: JobId,
    job: StampJob,
    cancelled: Arc<AtomicBool>,
}

#[derive(Default)]
struct Queues {
    checks: VecDeque<Check>,
    jobs: JobQueue,
    urgent: VecDeque<Stamping>,
    /// Urgent stamps that wait or are being solved.
    urgent_open: usize,
    patient: VecDeque<Stamping>,
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

    /// Waits for what `take` finds in the queues; `None` once the workers stop.
    fn next<T>(&self, mut take: impl FnMut(&mut Queues) -> Option<T>) -> Option<T> {
        let mut queues = self.lock();
        loop {
            if queues.stopping {
                return None;
            }
            if let Some(found) = take(&mut queues) {
                return Some(found);
            }
            queues = self.more.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
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
        let [checker, solver, second_solver, searcher] = std::array::from_fn(|_| self.inner.clone());
        let [stamped, second_stamped, found] = std::array::from_fn(|_| control.clone());
        let check = std::thread::Builder::new().name("check".to_owned()).spawn(move || {
            check_loop(&checker, &mut gate, &control, &judged);
        })?;
        let urgent = std::thread::Builder::new().name("stamp".to_owned()).spawn(move || {
            urgent_stamp_loop(&solver, &stamped);
        })?;
        let patient = std::thread::Builder::new().name("patient stamp".to_owned()).spawn(move || {
            lower_priority();
            patient_stamp_loop(&second_solver, &second_stamped);
        })?;
        let search = std::thread::Builder::new().name("search".to_owned()).spawn(move || {
            lower_priority();
            search_loop(&searcher, &found);
        })?;
        Ok(vec![check, urgent, patient, search])
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
        match job {
            Job::Stamp(job) => {
                queues.urgent_open += usize::from(job.urgent);
                let queue = if job.urgent { &mut queues.urgent } else { &mut queues.patient };
                queue.push_back(Stamping { id, job, cancelled });
            }
            job if job.lane() == Lane::Search => queues.searches.push_back((id, job, cancelled)),
            job => queues.jobs.push_back((id, job, cancelled)),
        }
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
    let take = |queues: &mut Queues| match queues.checks.pop_front() {
        Some(check) => Some(Next::Check(check)),
        None => queues.jobs.pop_front().map(|(id, job, cancelled)| Next::Job(id, job, cancelled)),
    };
    while let Some(next) = inner.next(take) {
        match next {
            Next::Check(check) => run_check(check, gate, judged),
            Next::Job(id, job, cancelled) => answer(inner, control, id, job.run(&cancelled, &mut rng)),
        }
    }
}

/// Solves the stamps that somebody waits for.
fn urgent_stamp_loop(inner: &Inner, control: &mpsc::Sender<Control>) {
    let mut rng: StdRng = rand::make_rng();
    while let Some(Stamping { id, job, cancelled }) = inner.next(|queues| queues.urgent.pop_front()) {
        let envelope = job.solve(|| cancelled.load(Ordering::Relaxed), &mut rng);
        inner.lock().urgent_open -= 1;
        inner.more.notify_all();
        answer(inner, control, id, JobResult::Stamped(envelope));
    }
}

/// Solves the others, while there is no urgent one.
fn patient_stamp_loop(inner: &Inner, control: &mpsc::Sender<Control>) {
    let mut rng: StdRng = rand::make_rng();
    let take = |queues: &mut Queues| if queues.urgent_open == 0 { queues.patient.pop_front() } else { None };
    while let Some(stamping) = inner.next(take) {
        let cancelled = || stamping.cancelled.load(Ordering::Relaxed);
        match stamping.job.solve(|| cancelled() || inner.lock().urgent_open > 0, &mut rng) {
            None if !cancelled() => inner.lock().patient.push_front(stamping),
            envelope => answer(inner, control, stamping.id, JobResult::Stamped(envelope)),
        }
    }
}

fn search_loop(inner: &Inner, control: &mpsc::Sender<Control>) {
    let mut rng: StdRng = rand::make_rng();
    while let Some((id, job, cancelled)) = inner.next(|queues| queues.searches.pop_front()) {
        answer(inner, control, id, job.run(&cancelled, &mut rng));
    }
}

/// Gives a result to the core, which may be gone.
fn answer(inner: &Inner, control: &mpsc::Sender<Control>, id: JobId, result: JobResult) {
    inner.lock().running.remove(&id);
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

/// Work that nobody waits for must not slow down the person's other programs.
fn lower_priority() {
    const NICENESS: i32 = 10;
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use starling_wire::envelope::{Class, Head, Tag};

    use super::*;

    fn stamp(parameters: &NetworkParameters, effort: u32, urgent: bool) -> Job {
        let head =
            Head { class: Class::Small, topic: TopicId(0), epoch: Epoch(1), tag: Tag([7; 16]), ephemeral: [9; 32] };
        Job::Stamp(StampJob {
            network: parameters.id(),
            head,
            body: vec![1; Class::Small.body_bytes()],
            effort,
            urgent,
        })
    }

    /// A stamp that will not be found in a lifetime is being solved, and texts still get theirs; told to stop, it does.
    #[test]
    fn an_urgent_stamp_is_solved_while_a_patient_one_is_in_work() {
        let parameters = NetworkParameters::test("stamps");
        let (control, mut results) = mpsc::channel(8);
        let workers = Workers::new();
        let threads = workers.start(&parameters, TopicId(0), control, |_| {}).unwrap();
        workers.compute(JobId(0), stamp(&parameters, u32::MAX, false));
        for id in 1..=5 {
            workers.compute(JobId(id), stamp(&parameters, 1, true));
            let Some(Control::Input(Input::Computed { id: done, result })) = results.blocking_recv() else {
                panic!("the workers are gone");
            };
            assert_eq!(done, JobId(id));
            assert!(matches!(result, JobResult::Stamped(Some(_))));
        }
        workers.cancel(JobId(0));
        let Some(Control::Input(Input::Computed { id, result })) = results.blocking_recv() else {
            panic!("the workers are gone");
        };
        assert_eq!(id, JobId(0));
        assert!(matches!(result, JobResult::Stamped(None)));
        workers.stop();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
