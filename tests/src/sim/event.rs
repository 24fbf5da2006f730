//! What is going to happen, in the order of virtual time.

use std::collections::BTreeMap;

use starling_messenger::job::JobResult;
use starling_messenger::turn::{Input, JobId, LinkId, Refusal, RequestId};
use starling_wire::envelope::{Envelope, EnvelopeId, EpochRange};
use starling_wire::push_cell::PushCell;

use super::faults::Fault;
use super::people::Act;

/// A node of the world, by its place.
pub(super) type Place = usize;

/// Something that happens at a moment. What belongs to one life of a process carries that life's number,
/// and is nothing after the process has died.
#[derive(Debug)]
pub(super) enum Event {
    /// The time that a node asked for.
    Wake { node: Place, life: u32 },
    /// The disk has what was given to it.
    Committed { node: Place, life: u32 },
    /// A worker is done.
    Computed { node: Place, life: u32, id: JobId, result: JobResult },
    /// The network answers a node's request.
    Done { node: Place, life: u32, id: RequestId, result: Result<(), Refusal> },
    /// Something else that this machine tells itself.
    Local { node: Place, life: u32, input: Input },
    /// A node looks for neighbours.
    Dial { node: Place, life: u32 },
    /// A node replaces one of its neighbours.
    Rotate { node: Place },
    /// Two nodes have shaken hands.
    Linked { link: u64 },
    /// An end notices that the other one has gone.
    Lost { link: LinkId },
    /// An envelope comes by gossip at this end; `past_cache` if gossip has forgotten that it came before.
    Gossip { link: LinkId, envelope: Envelope, past_cache: bool },
    /// A push cell comes at this end.
    Cell { link: LinkId, cell: PushCell, request: Option<RequestId>, life: u32 },
    /// A stream of reconciliation opens.
    SyncOpen { link: LinkId, life: u32, window: EpochRange, watch: Vec<EnvelopeId> },
    /// Bodies of a reconciliation come.
    Pulled { link: LinkId, life: u32, bodies: Vec<Box<[u8]>> },
    /// Somebody does something.
    Act { node: Place, act: Act },
    /// Something goes wrong, or is over.
    Fault(Fault),
    /// A hostile neighbour has its turn.
    Harm { node: Place },
}

/// All that is going to happen. Events of one moment happen in the order in which they were foreseen.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: BTreeMap<(u64, u64), Event>,
    foreseen: u64,
}

impl Queue {
    /// Foresees `event` at `at_ms`.
    pub(super) fn put(&mut self, at_ms: u64, event: Event) {
        self.foreseen += 1;
        self.events.insert((at_ms, self.foreseen), event);
    }

    /// The next event, if it is due by `until_ms`.
    pub(super) fn take(&mut self, until_ms: u64) -> Option<(u64, Event)> {
        let (&(at_ms, _), _) = self.events.first_key_value()?;
        if at_ms > until_ms {
            return None;
        }
        self.events.pop_first().map(|((at_ms, _), event)| (at_ms, event))
    }

    /// What people are still going to do.
    pub(super) fn acts(&self) -> impl Iterator<Item = (Place, &Act)> {
        self.events.values().filter_map(|event| match event {
            Event::Act { node, act } => Some((*node, act)),
            _ => None,
        })
    }
}
