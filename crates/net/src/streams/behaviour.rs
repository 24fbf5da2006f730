//! The behaviour that opens and takes our streams.
//!
//! The crate `libp2p-stream` would do nearly this, but it opens on any connection to the peer, keeps a
//! channel for every connection that ever was, and drops an inbound stream when another arrived a moment
//! before. Here a stream is opened on a named connection, every request ends in exactly one answer (also
//! when its connection dies), and inbound streams wait in the handler, up to a limit.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::behaviour::ConnectionClosed;
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, StreamProtocol};
use starling_wire::network::NetworkParameters;

/// Inbound streams that wait in one connection's handler until the swarm's task looks at them.
const INBOUND_WAITING_MAX: usize = 16;
/// Time to agree on a protocol.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream protocol of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    /// `link/1`.
    Link,
    /// `sync/1`.
    Sync,
    /// `push/1`.
    Push,
}

/// A protocol and its name in this network.
#[derive(Debug, Clone)]
pub(crate) struct Named(Protocol, StreamProtocol);

impl AsRef<str> for Named {
    fn as_ref(&self) -> &str {
        self.1.as_ref()
    }
}

/// Protocols offered, or the one asked for.
#[derive(Debug, Clone)]
pub(crate) struct Offer(Vec<Named>);

impl UpgradeInfo for Offer {
    type Info = Named;
    type InfoIter = std::vec::IntoIter<Named>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Protocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, named: Named) -> Self::Future {
        ready(Ok((named.0, stream)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: Named) -> Self::Future {
        ready(Ok(stream))
    }
}

/// Asks a handler to open a stream.
#[derive(Debug)]
pub(crate) struct Open {
    request: u64,
    protocol: Protocol,
}

/// What happened to a stream.
#[derive(Debug)]
pub(crate) enum Event {
    /// A peer opened a stream.
    Inbound { peer: PeerId, connection: ConnectionId, protocol: Protocol, stream: Stream },
    /// A stream that we asked for is open.
    Opened { request: u64, stream: Stream },
    /// It is not, and will not be.
    Failed { request: u64 },
}

/// What a handler tells the behaviour.
#[derive(Debug)]
pub(crate) enum FromHandler {
    Inbound(Protocol, Stream),
    Opened(u64, Stream),
    Failed(u64),
}

/// One connection's part.
pub(crate) struct Handler {
    offer: Offer,
    asked: VecDeque<Open>,
    inbound: VecDeque<(Protocol, Stream)>,
    answers: VecDeque<FromHandler>,
}

impl Handler {
    fn one(&self, protocol: Protocol) -> Offer {
        Offer(self.offer.0.iter().filter(|named| named.0 == protocol).cloned().collect())
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = FromHandler;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = u64;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(self.offer.clone(), ()).with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offer, u64, FromHandler>> {
        if let Some(answer) = self.answers.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(answer));
        }
        if let Some(open) = self.asked.pop_front() {
            let protocol = SubstreamProtocol::new(self.one(open.protocol), open.request);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: protocol.with_timeout(NEGOTIATION_TIMEOUT),
            });
        }
        match self.inbound.pop_front() {
            Some((protocol, stream)) => {
                Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(FromHandler::Inbound(protocol, stream)))
            }
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, open: Open) {
        self.asked.push_back(open);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), u64>) {
        match event {
            // Beyond the limit the stream is dropped, which the peer sees as its end.
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. })
                if self.inbound.len() < INBOUND_WAITING_MAX =>
            {
                self.inbound.push_back(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.answers.push_back(FromHandler::Opened(info, protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, .. }) => {
                self.answers.push_back(FromHandler::Failed(info));
            }
            _ => {}
        }
    }
}

/// Opens and takes streams of all connections.
pub(crate) struct Behaviour {
    offer: Offer,
    /// Requests without an answer, and the connection that owes it.
    open: BTreeMap<u64, ConnectionId>,
    events: VecDeque<ToSwarm<Event, Open>>,
}

impl Behaviour {
    /// The stream protocols of a network.
    ///
    /// # Errors
    /// The network's name makes no protocol name.
    pub(crate) fn new(parameters: &NetworkParameters) -> Result<Self, libp2p::swarm::InvalidProtocol> {
        let names = [(Protocol::Link, "link/1"), (Protocol::Sync, "sync/1"), (Protocol::Push, "push/1")];
        let named = |(protocol, name): (Protocol, &str)| {
            StreamProtocol::try_from_owned(parameters.protocol(name)).map(|name| Named(protocol, name))
        };
        let offer = Offer(names.into_iter().map(named).collect::<Result<_, _>>()?);
        Ok(Self { offer, open: BTreeMap::new(), events: VecDeque::new() })
    }

    /// Asks for a stream on a connection; one [`Event::Opened`] or [`Event::Failed`] with `request` follows.
    pub(crate) fn open(&mut self, peer: PeerId, connection: ConnectionId, protocol: Protocol, request: u64) {
        self.open.insert(request, connection);
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Open { request, protocol },
        });
    }

    fn handler(&self) -> Handler {
        Handler {
            offer: self.offer.clone(),
            asked: VecDeque::new(),
            inbound: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(ToSwarm::GenerateEvent(event));
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) = event else { return };
        let owed = self.open.iter().filter(|(_, connection)| **connection == connection_id);
        let owed: Vec<u64> = owed.map(|(request, _)| *request).collect();
        for request in owed {
            self.open.remove(&request);
            self.tell(Event::Failed { request });
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            FromHandler::Inbound(protocol, stream) => {
                self.tell(Event::Inbound { peer, connection, protocol, stream });
            }
            FromHandler::Opened(request, stream) if self.open.remove(&request).is_some() => {
                self.tell(Event::Opened { request, stream });
            }
            FromHandler::Failed(request) if self.open.remove(&request).is_some() => {
                self.tell(Event::Failed { request });
            }
            FromHandler::Opened(..) | FromHandler::Failed(_) => {}
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
