//! The one file that sees both the network's events and the core's inputs, and the one that makes a
//! [`Now`].

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use starling_messenger::turn::{AddressGroup, GossipToken, Input, LinkId, Now, PushTicket, Refusal, RequestId};
use starling_net::{CachedPeer, NetEvent};
use starling_wire::push_cell::PushCell;

use super::lanes::Lanes;
use super::release::Release;
use super::sync_driver::SyncDriver;
use super::workers::{Check, Judged, Workers};

/// The machine's two clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }

    /// Both clocks, now.
    pub(crate) fn now(&self) -> Now {
        Now { unix_ms: Self::unix_ms_now(), monotonic_ms: self.monotonic_ms(Instant::now()) }
    }

    /// The wall clock alone, ms since 1970; a clock before 1970 counts as 1970.
    pub(crate) fn unix_ms_now() -> u64 {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_ms(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant at which the monotonic clock shows `monotonic_ms`.
    pub(crate) fn instant(&self, monotonic_ms: u64) -> Instant {
        self.started + std::time::Duration::from_millis(monotonic_ms)
    }
}

/// What the lifecycle task wants to hear from the network.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Addresses that the node listens on.
    Listening(Vec<String>),
    /// An address could not be listened on, and why.
    ListenFailed(String),
    /// Another number of peers.
    Peers { connected: usize, held: usize, in_shard: usize },
    /// Peers to remember.
    Cache(Vec<CachedPeer>),
    /// A peer of this network's name has other parameters.
    OtherParameters,
}

/// Turns network events into inputs until the network ends.
pub(crate) struct Bridge {
    pub(crate) lanes: Lanes,
    pub(crate) workers: Workers,
    pub(crate) release: Arc<Release>,
    pub(crate) syncs: SyncDriver,
    pub(crate) notices: tokio::sync::mpsc::Sender<Notice>,
}

impl Bridge {
    /// Runs until the network's events end.
    pub(crate) async fn run(self, mut events: starling_net::NetEvents) {
        while let Some(event) = events.next().await {
            self.take(event).await;
        }
    }

    async fn take(&self, event: NetEvent) {
        match event {
            NetEvent::Gossip { token, link, bytes } => {
                self.workers.check(Check::Gossip { token: GossipToken(token), link: LinkId(link.0), bytes });
            }
            NetEvent::LinkUp { link, group, outbound, onion_key, clock_offset_ms } => {
                let group = AddressGroup { narrow: group.narrow, wide: group.wide };
                let link = LinkId(link.0);
                self.core(Input::LinkUp { link, group, outbound, onion_key, clock_offset_ms }).await;
            }
            NetEvent::LinkDown { link } => {
                let link = LinkId(link.0);
                self.syncs.link_down(link);
                self.core(Input::LinkDown { link }).await;
            }
            NetEvent::Push { link, ticket, cell } => self.push(LinkId(link.0), PushTicket(ticket), cell).await,
            NetEvent::SyncInbound { link, stream } => self.syncs.respond(LinkId(link.0), stream),
            NetEvent::Done { request, result } => {
                let result = result.map_err(refusal);
                self.core(Input::Done { id: RequestId(request), result }).await;
            }
            other => self.notice(other).await,
        }
    }

    async fn notice(&self, event: NetEvent) {
        let notice = match event {
            NetEvent::Listening { addresses } => Notice::Listening(addresses.iter().map(ToString::to_string).collect()),
            NetEvent::ListenFailed { address, message, .. } => Notice::ListenFailed(format!("{address}: {message}")),
            NetEvent::PeersChanged { connected, held, in_shard } => Notice::Peers { connected, held, in_shard },
            NetEvent::PeerCache(peers) => Notice::Cache(peers),
            NetEvent::ParametersMismatch { .. } => Notice::OtherParameters,
            _ => return,
        };
        // The lifecycle task ends before the network does.
        let _ = self.notices.send(notice).await;
    }

    async fn push(&self, link: LinkId, ticket: PushTicket, bytes: Vec<u8>) {
        match PushCell::parse(bytes) {
            Ok(cell) => self.core(Input::Cell { link, ticket, cell }).await,
            Err(_) => self.release.all(vec![starling_messenger::turn::Output::CellAnswer { ticket, taken: false }]),
        }
    }

    async fn core(&self, input: Input) {
        // The core ends before the network does.
        let _ = self.lanes.network.send(input).await;
    }
}

/// Where the check thread sends its findings.
pub(crate) fn judge(lanes: &Lanes, release: &Arc<Release>) -> impl Fn(Judged) + Send + 'static {
    let (gossip, release) = (lanes.gossip.clone(), release.clone());
    move |judged| match judged {
        Judged::Good(input) => {
            // Bounded by the gossip credits, which are as many as the lane has places.
            let _ = gossip.blocking_send(input);
        }
        Judged::Bad { token, link, verdict } => {
            release.verdict(token.0, verdict);
            if let starling_messenger::turn::Verdict::Reject(fault) = verdict {
                release.penalize(link, fault);
            }
        }
    }
}

fn refusal(refusal: starling_net::Refusal) -> Refusal {
    use starling_net::Refusal as Net;
    match refusal {
        Net::NoPeers => Refusal::NoPeers,
        Net::LinkGone => Refusal::LinkGone,
        Net::Refused => Refusal::Refused,
        Net::TimedOut => Refusal::TimedOut,
        Net::Busy => Refusal::Busy,
    }
}
