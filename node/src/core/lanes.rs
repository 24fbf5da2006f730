//! The four lanes into the core thread, each bounded, read in a fixed order: control before network
//! events before gossip before pulled envelopes. A flood in one lane delays only the lanes after it.

use starling_messenger::turn::Input;
use starling_relay::pool::EnvelopePool;
use starling_store::pool_files::DiskPool;
use starling_wire::envelope::{Epoch, EpochRange};
use tokio::sync::{mpsc, oneshot};

use super::handle::Asked;

/// Commands of people, waiting.
pub(crate) const COMMANDS_MAX: usize = 64;
/// Results of jobs, clock and disk readings, snapshots, waiting.
pub(crate) const CONTROL_MAX: usize = 256;
/// Link events, pushes and their answers, waiting.
pub(crate) const NETWORK_MAX: usize = 256;
/// Checked gossip, waiting: as many as there are gossip credits, so that this lane is never full.
pub(crate) const GOSSIP_MAX: usize = 512;
/// Batches of pulled envelopes, waiting; a full lane holds up the sync streams, not the core.
pub(crate) const PULLED_MAX: usize = 16;

/// The pool of a real node.
pub(crate) type NodePool = DiskPool;
/// An immutable view of it.
pub(crate) type Snapshot = <NodePool as EnvelopePool>::Snapshot;

/// What comes by the control lane, and by the lane of pulled envelopes: there, a view of the pool that is
/// asked for after envelopes were pulled holds them.
pub(crate) enum Control {
    /// A result or a reading.
    Input(Input),
    /// A view of the pool for a reconciliation beside the core.
    Snapshot {
        /// Over which epochs.
        window: EpochRange,
        /// Where it goes, with the pool's horizon.
        answer: oneshot::Sender<(Snapshot, Epoch)>,
    },
    /// Save and end.
    Stop(oneshot::Sender<Stopped>),
}

/// What a person is told when the node stops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped {
    /// Messages that wait for their recipients.
    pub(crate) undelivered: u32,
}

/// The sending ends.
#[derive(Clone)]
pub(crate) struct Lanes {
    pub(crate) commands: mpsc::Sender<Asked>,
    pub(crate) control: mpsc::Sender<Control>,
    pub(crate) network: mpsc::Sender<Input>,
    pub(crate) gossip: mpsc::Sender<Input>,
    pub(crate) pulled: mpsc::Sender<Control>,
}

/// The receiving ends, owned by the core thread.
pub(crate) struct LaneEnds {
    pub(crate) commands: mpsc::Receiver<Asked>,
    pub(crate) control: mpsc::Receiver<Control>,
    pub(crate) network: mpsc::Receiver<Input>,
    pub(crate) gossip: mpsc::Receiver<Input>,
    pub(crate) pulled: mpsc::Receiver<Control>,
}

/// Makes the lanes.
pub(crate) fn lanes() -> (Lanes, LaneEnds) {
    let (commands, commands_end) = mpsc::channel(COMMANDS_MAX);
    let (control, control_end) = mpsc::channel(CONTROL_MAX);
    let (network, network_end) = mpsc::channel(NETWORK_MAX);
    let (gossip, gossip_end) = mpsc::channel(GOSSIP_MAX);
    let (pulled, pulled_end) = mpsc::channel(PULLED_MAX);
    (
        Lanes { commands, control, network, gossip, pulled },
        LaneEnds {
            commands: commands_end,
            control: control_end,
            network: network_end,
            gossip: gossip_end,
            pulled: pulled_end,
        },
    )
}
