//! Releases the outputs of a turn: to the network, the workers, and whoever waits for a reply.
//!
//! Called from the core thread (turns without writes) and from the commit thread (all others); never
//! blocks either. What the network has no room for comes back to the core as a refusal.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use starling_messenger::turn::{Input, LinkId, Output, Refusal, Reply, RequestId, SyncBroken, Verdict};
use starling_net::{Acceptance, NetCommand};
use starling_relay::penalty::{Fault, Penalty};
use starling_wire::envelope::{EnvelopeId, EpochRange};
use tokio::sync::{mpsc, oneshot};

use super::lanes::Control;
use super::workers::Workers;

/// A reconciliation to start.
pub(crate) struct SyncOrder {
    pub(crate) link: LinkId,
    pub(crate) window: EpochRange,
    pub(crate) watch: Vec<EnvelopeId>,
}

/// Where outputs go.
pub(crate) struct Release {
    pub(crate) net: starling_net::NetHandle,
    pub(crate) workers: Workers,
    pub(crate) syncs: mpsc::Sender<SyncOrder>,
    pub(crate) control: mpsc::Sender<Control>,
    pub(crate) replies: Mutex<HashMap<RequestId, oneshot::Sender<Reply>>>,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Release {
    /// Remembers where the reply to a command goes.
    pub(crate) fn expect_reply(&self, id: RequestId, answer: oneshot::Sender<Reply>) {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answer);
    }

    /// Releases `outputs` in order.
    pub(crate) fn all(&self, outputs: Vec<Output>) {
        outputs.into_iter().for_each(|output| self.one(output));
    }

    fn one(&self, output: Output) {
        match output {
            Output::Verdict { token, verdict } => self.verdict(token.0, verdict),
            Output::Publish { id, topic, envelope } => {
                let bytes = envelope.as_bytes().to_vec();
                self.order(id, NetCommand::Publish { request: id.0, topic, bytes });
            }
            Output::Push { id, link, cell } => {
                let cell = cell.as_bytes().to_vec();
                self.order(id, NetCommand::Push { request: id.0, link: starling_net::LinkId(link.0), cell });
            }
            Output::CellAnswer { ticket, taken } => {
                self.tell(NetCommand::AnswerPush { ticket: ticket.0, taken });
            }
            Output::StartSync { link, window, watch } => self.sync(SyncOrder { link, window, watch }),
            Output::Penalize { link, fault } => self.penalize(link, fault),
            Output::Compute { id, job } => self.workers.compute(id, job),
            Output::CancelCompute { id } => self.workers.cancel(id),
            Output::Reply { id, reply } => {
                let waiting = self.replies.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(answer) = waiting {
                    // Whoever asked may have gone.
                    let _ = answer.send(reply);
                }
            }
            // Events leave by the log, in the commit thread.
            Output::Event(_) => {}
        }
    }

    /// The verdict on a gossip message; also used by the workers for what never reaches the core.
    pub(crate) fn verdict(&self, token: u64, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Accept => Acceptance::Accept,
            Verdict::Ignore => Acceptance::Ignore,
            Verdict::Reject(_) => Acceptance::Reject,
        };
        self.tell(NetCommand::Verdict { token, verdict });
    }

    /// Closes and blocks the peer when the fault is worth it.
    pub(crate) fn penalize(&self, link: LinkId, fault: Fault) {
        if fault.penalty() == Penalty::Block {
            tracing::info!(%fault, "a neighbour broke the protocol");
            self.tell(NetCommand::Penalize { link: starling_net::LinkId(link.0) });
        }
    }

    /// A command without an answer. When the queue is full it is dropped: a verdict or an answer that
    /// comes too late is one that the network gives by itself.
    fn tell(&self, command: NetCommand) {
        if self.net.try_send(command).is_err() {
            tracing::debug!("the network's queue is full");
        }
    }

    /// A command whose answer the core waits for.
    fn order(&self, id: RequestId, command: NetCommand) {
        if self.net.try_send(command).is_err() {
            self.feed(Input::Done { id, result: Err(Refusal::Busy) });
        }
    }

    fn sync(&self, order: SyncOrder) {
        let (link, window) = (order.link, order.window);
        if self.syncs.try_send(order).is_err() {
            self.feed(Input::SyncEnded { link, window, held: Vec::new(), result: Err(SyncBroken::Stream) });
        }
    }

    /// Feeds the core from a thread that must not wait for it.
    fn feed(&self, input: Input) {
        let control = self.control.clone();
        // The core may be gone: then nobody waits for this either.
        self.runtime.spawn(async move {
            let _ = control.send(Control::Input(input)).await;
        });
    }
}
