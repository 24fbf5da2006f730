//! `Quiet` wraps a behaviour so that its streams do not keep a connection open; only its handler's own
//! flag does.
//!
//! gossipsub opens two streams to every peer and never closes them, so that every connection once made
//! would live for ever and N nodes end with N-1 connections each. Its handler does say whether the peer
//! is in our mesh: that flag still holds the connection, and all others may fall idle.
//!
//! And it greets anew. gossipsub tells a peer its topics over the first connection and never again while one is open. A
//! peer that was killed and is back has forgotten them, while a dead connection of before is still open here: it would
//! never learn them, and as an exit find nobody to publish to. So when one of several connections of a peer ends, the
//! wrapped behaviour is told of the newest as if it were the first.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{ConnectedPoint, Endpoint, Multiaddr};
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound, InboundUpgradeSend,
    ListenUpgradeError, OutboundUpgradeSend, UpgradeInfoSend,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour, Stream,
    SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};

/// An upgrade whose stream no longer counts when the connection asks whether it is needed.
pub(crate) struct QuietUpgrade<U>(U);

impl<U: UpgradeInfoSend> UpgradeInfo for QuietUpgrade<U> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<U: InboundUpgradeSend> InboundUpgrade<Stream> for QuietUpgrade<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_inbound(self, mut stream: Stream, info: Self::Info) -> Self::Future {
        stream.ignore_for_keep_alive();
        self.0.upgrade_inbound(stream, info)
    }
}

impl<U: OutboundUpgradeSend> OutboundUpgrade<Stream> for QuietUpgrade<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_outbound(self, mut stream: Stream, info: Self::Info) -> Self::Future {
        stream.ignore_for_keep_alive();
        self.0.upgrade_outbound(stream, info)
    }
}

/// The wrapped behaviour's handler, with quiet upgrades.
pub(crate) struct QuietHandler<H>(H);

type Inbound<H> = QuietUpgrade<<H as ConnectionHandler>::InboundProtocol>;
type Outbound<H> = QuietUpgrade<<H as ConnectionHandler>::OutboundProtocol>;

impl<H: ConnectionHandler> ConnectionHandler for QuietHandler<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = Inbound<H>;
    type OutboundProtocol = Outbound<H>;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.0.listen_protocol().map_upgrade(QuietUpgrade)
    }

    fn connection_keep_alive(&self) -> bool {
        self.0.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.0.poll(cx).map(|event| event.map_protocol(QuietUpgrade))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.0.poll_close(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.0.on_behaviour_event(event);
    }

    fn on_connection_event(&mut self, event: Event<'_, Inbound<H>, Outbound<H>, H>) {
        if let Some(event) = unwrap_event::<H>(event) {
            self.0.on_connection_event(event);
        }
    }
}

type Event<'a, I, O, H> =
    ConnectionEvent<'a, I, O, <H as ConnectionHandler>::InboundOpenInfo, <H as ConnectionHandler>::OutboundOpenInfo>;

/// The same event in the terms of the wrapped handler: the types differ only in the name of the upgrade.
/// `None` for kinds of events that this version of libp2p does not have yet.
fn unwrap_event<H: ConnectionHandler>(
    event: Event<'_, Inbound<H>, Outbound<H>, H>,
) -> Option<Event<'_, H::InboundProtocol, H::OutboundProtocol, H>> {
    Some(match event {
        ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }) => {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info })
        }
        ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info })
        }
        ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error })
        }
        ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error }) => {
            ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error })
        }
        ConnectionEvent::AddressChange(change) => ConnectionEvent::AddressChange(change),
        ConnectionEvent::LocalProtocolsChange(change) => ConnectionEvent::LocalProtocolsChange(change),
        ConnectionEvent::RemoteProtocolsChange(change) => ConnectionEvent::RemoteProtocolsChange(change),
        _ => return None,
    })
}

/// A behaviour whose streams do not hold connections.
pub(crate) struct Quiet<B> {
    /// The behaviour itself.
    pub(crate) inner: B,
    /// Connections of each peer, the newest last; the swarm bounds them.
    open: BTreeMap<PeerId, Vec<(ConnectionId, ConnectedPoint)>>,
}

impl<B: NetworkBehaviour> Quiet<B> {
    /// Wraps a behaviour that has heard of no connection yet.
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, open: BTreeMap::new() }
    }

    /// Tells the wrapped behaviour of the newest connection that is left to `peer` as if it were the first.
    fn greet_anew(&mut self, peer: PeerId) {
        let Some((connection_id, endpoint)) = self.open.get(&peer).and_then(|open| open.last()) else { return };
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: *connection_id,
            endpoint,
            failed_addresses: &[],
            other_established: 0,
        }));
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Quiet<B> {
    type ConnectionHandler = QuietHandler<B::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote).map(QuietHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port).map(QuietHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(made) => {
                self.open.entry(made.peer_id).or_default().push((made.connection_id, made.endpoint.clone()));
                self.inner.on_swarm_event(event);
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.inner.on_swarm_event(event);
                if let Some(open) = self.open.get_mut(&closed.peer_id) {
                    open.retain(|(id, _)| *id != closed.connection_id);
                    if open.is_empty() {
                        self.open.remove(&closed.peer_id);
                    }
                }
                self.greet_anew(closed.peer_id);
            }
            event => self.inner.on_swarm_event(event),
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(cx)
    }
}
