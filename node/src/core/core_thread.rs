//! The core thread: owns the messenger, reads the four lanes in order, steps, and hands each turn on.
//! Nothing in it waits for a disk, a peer or a computation.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use starling_messenger::messenger::Messenger;
use starling_messenger::turn::{Command, Input, Output, Reply, RequestId, Turn};
use starling_relay::pool::EnvelopePool;
use starling_wire::envelope::Epoch;

use super::bridge::Clock;
use super::commit_thread::Batch;
use super::handle::Asked;
use super::lanes::{Control, LaneEnds, NodePool, Stopped};
use super::release::Release;

/// How late a timer may be because others wait. Looking for own mail runs by a timer, and must not come
/// before the verdicts that wait: a neighbour that times them would see who the recipient is.
const WAKE_LATE_MAX: Duration = Duration::from_millis(100);

/// Everything the thread owns.
pub(crate) struct Core {
    pub(crate) messenger: Messenger<NodePool>,
    pub(crate) clock: Clock,
    pub(crate) rng: StdRng,
    pub(crate) commits: SyncSender<Batch>,
    pub(crate) release: Arc<Release>,
    pub(crate) next_request: u64,
}

enum Taken {
    Command(Asked),
    Control(Control),
    Input(Input),
    Wake,
    Closed,
}

/// Starts the thread; `first` is the turn with which the messenger was made.
pub(crate) fn start(mut core: Core, ends: LaneEnds, first: Turn) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("core".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "no timer for the core");
                std::process::abort();
            }
        };
        runtime.block_on(async move {
            core.hand_on(first);
            core.run(ends).await;
        });
    })
}

impl Core {
    async fn run(&mut self, mut ends: LaneEnds) {
        loop {
            match self.next(&mut ends).await {
                Taken::Command(asked) => self.command(asked),
                Taken::Control(Control::Input(input)) | Taken::Input(input) => self.step(input),
                Taken::Control(Control::Snapshot { window, answer }) => {
                    let epoch = Epoch::from_unix_ms(Clock::unix_ms_now());
                    let pool = self.messenger.pool();
                    // The stream that asked may have ended.
                    let _ = answer.send((pool.snapshot(window), pool.horizon(epoch)));
                }
                Taken::Control(Control::Stop(answer)) => {
                    let stopped = Stopped { undelivered: self.undelivered() };
                    let turn = self.messenger.shut_down(self.clock.now(), &mut self.rng);
                    self.hand_on(turn);
                    // The lifecycle task may have given up waiting.
                    let _ = answer.send(stopped);
                    return;
                }
                Taken::Wake => self.step(Input::Wake),
                Taken::Closed => return,
            }
        }
    }

    async fn next(&self, ends: &mut LaneEnds) -> Taken {
        let wake = self.messenger.next_wake().map(|at| self.clock.instant(at));
        if wake.is_some_and(|at| at + WAKE_LATE_MAX <= Instant::now()) {
            return Taken::Wake;
        }
        let sleep = async {
            match wake {
                // The runtime's timers are for milliseconds to come: one that is due would wait for the next.
                Some(at) if at <= Instant::now() => {}
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(asked) = ends.commands.recv() => Taken::Command(asked),
            Some(control) = ends.control.recv() => Taken::Control(control),
            Some(input) = ends.network.recv() => Taken::Input(input),
            Some(input) = ends.gossip.recv() => Taken::Input(input),
            () = sleep => Taken::Wake,
            Some(pulled) = ends.pulled.recv() => Taken::Control(pulled),
            else => Taken::Closed,
        }
    }

    /// Messages that are not confirmed yet.
    fn undelivered(&mut self) -> u32 {
        let id = RequestId(self.next_request);
        let ask = Input::Command { id, command: Command::Status };
        let turn = self.messenger.step(ask, self.clock.now(), &mut self.rng);
        let status = turn.outputs.iter().find_map(|output| match output {
            Output::Reply { reply: Reply::Status(status), .. } => Some(status.outbox_undelivered),
            _ => None,
        });
        self.hand_on(turn);
        status.unwrap_or(0)
    }

    fn command(&mut self, asked: Asked) {
        let id = RequestId(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        self.release.expect_reply(id, asked.answer);
        self.step(Input::Command { id, command: asked.command });
    }

    fn step(&mut self, input: Input) {
        let turn = self.messenger.step(input, self.clock.now(), &mut self.rng);
        self.hand_on(turn);
    }

    /// A turn without writes is released at once; any other by the commit thread, after its commit.
    fn hand_on(&self, turn: Turn) {
        let durable = !turn.writes.is_empty() || turn.outputs.iter().any(|output| matches!(output, Output::Event(_)));
        if !durable {
            self.release.all(turn.outputs);
            return;
        }
        let batch = Batch {
            at_unix_ms: Clock::unix_ms_now(),
            writes: turn.writes,
            happenings: Vec::new(),
            outputs: turn.outputs,
            done: None,
        };
        if self.commits.send(batch).is_err() {
            tracing::error!("the commit thread is gone");
            std::process::abort();
        }
    }
}
