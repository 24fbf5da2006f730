//! The protocols that run on every connection, and how each is configured.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::core::transport::{Boxed, PortUse};
use libp2p::core::{Endpoint as Role, Multiaddr, Transport as _, upgrade};
use libp2p::gossipsub::{
    self, ConfigBuilder, IdentTopic, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds,
    TopicScoreParams, ValidationMode,
};
use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, connection_limits, identify, kad, mdns, memory_connection_limits,
    noise, ping, quic, tcp, yamux,
};
use starling_wire::limits::GOSSIP_BYTES_MAX;
use starling_wire::network::{NetworkParameters, Scope};

use crate::address::{AddressScope, Endpoint, ip_scope};
use crate::config::{
    CONNECTIONS_IN_MAX, CONNECTIONS_MAX, CONNECTIONS_PENDING_MAX, CONNECTIONS_PER_PEER_BURST_MAX, NetConfig, NetError,
    PROCESS_MEMORY_MAX_BYTES,
};
use crate::metering::{Meter, Metered};
use crate::quiet::Quiet;
use crate::streams;

/// A connection that carries nothing is closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Inbound streams that may be agreeing on a protocol at once, a connection.
const NEGOTIATING_STREAMS_MAX: usize = 64;
/// Streams that a peer may have open on one connection, over QUIC and over Yamux.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// Bytes that a peer may send ahead of our reading: a stream, a connection.
const QUIC_WINDOW_BYTES: (u32, u32) = (512 * 1024, 2 * 1024 * 1024);

/// How long gossipsub remembers what it has seen.
const SEEN_FOR: Duration = Duration::from_secs(2 * 3_600);
/// Heartbeats for which a message can still be forwarded, and those in which it is advertised.
pub(crate) const GOSSIP_HISTORY: (usize, usize) = (12, 3);
/// Messages larger than this are announced to be unwanted once received.
const IDONTWANT_BYTES: usize = 1_000;
/// Messages that may wait for one slow peer.
const GOSSIP_QUEUE: usize = 512;
/// Bytes of a gossip message id: the first of BLAKE3 of the envelope, its id.
const MESSAGE_ID_BYTES: usize = 20;

/// Keys of provider records that this node stores for others.
const PROVIDER_KEYS_MAX: usize = 4_096;
/// Providers stored a key.
const PROVIDERS_PER_KEY_MAX: usize = 20;
/// How long a provider record lives: a key is of one day, and is announced two hours ahead.
const PROVIDER_TTL: Duration = Duration::from_secs(26 * 3_600);
/// How often our own provider records are sent again.
const PROVIDER_INTERVAL: Duration = Duration::from_secs(3 * 3_600);
/// How often the routing table is filled up anew.
const BOOTSTRAP_INTERVAL: Duration = Duration::from_secs(3_600);
/// Time for a DHT query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// All protocols of a connection.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) blocked: allow_block_list::Behaviour<BlockedPeers>,
    connection_limits: connection_limits::Behaviour,
    memory_limits: memory_connection_limits::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) gossip: Quiet<gossipsub::Behaviour>,
    pub(crate) kad: Scoped<kad::Behaviour<MemoryStore>>,
    pub(crate) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(crate) streams: streams::Behaviour,
}

/// The gossip topic of a network's shard topic.
pub(crate) fn gossip_topic(parameters: &NetworkParameters, topic: starling_wire::envelope::TopicId) -> IdentTopic {
    IdentTopic::new(parameters.gossip_topic(topic))
}

/// A swarm that listens nowhere yet, and whose connections are counted on `meter`.
pub(crate) fn build(
    config: &NetConfig,
    keypair: Keypair,
    dht_server: bool,
    meter: &Arc<Meter>,
) -> Result<Swarm<Behaviour>, NetError> {
    let transport = |error: &dyn std::error::Error| NetError::Transport(error.to_string());
    let behaviour = behaviour(config, &keypair, dht_server)?;
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|keypair| metered_transport(keypair, meter))
        .map_err(|error| NetError::Transport(error.to_string()))?
        .with_behaviour(|_| behaviour)
        .map_err(|error| transport(&error))?
        .with_swarm_config(|swarm| {
            // QUIC first, TCP a moment later: RFC 8305 between transports.
            swarm
                .with_smart_dial()
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS_MAX)
        })
        .build();
    Ok(swarm)
}

/// QUIC, and TCP with Noise and Yamux.
fn metered_transport(
    keypair: &Keypair,
    meter: &Arc<Meter>,
) -> Result<Boxed<(PeerId, Metered)>, Box<dyn std::error::Error + Send + Sync>> {
    let (on_tcp, on_quic) = (meter.clone(), meter.clone());
    let tcp = tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(yamux_config())
        .map(move |(peer, muxer), _| (peer, Metered::new(muxer, &on_tcp)));
    let quic = quic::tokio::Transport::new(quic_config(quic::Config::new(keypair)))
        .map(move |(peer, muxer), _| (peer, Metered::new(muxer, &on_quic)));
    Ok(tcp.or_transport(quic).map(|either, _| either.into_inner()).boxed())
}

fn yamux_config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS_PER_CONNECTION_MAX as usize);
    config
}

fn quic_config(mut config: quic::Config) -> quic::Config {
    config.max_concurrent_stream_limit = STREAMS_PER_CONNECTION_MAX;
    (config.max_stream_data, config.max_connection_data) = QUIC_WINDOW_BYTES;
    config
}

fn behaviour(config: &NetConfig, keypair: &Keypair, dht_server: bool) -> Result<Behaviour, NetError> {
    let parameters = &config.parameters;
    let local = keypair.public().to_peer_id();
    let name = |error: libp2p::swarm::InvalidProtocol| NetError::Transport(error.to_string());
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_established(Some(CONNECTIONS_MAX))
        .with_max_established_incoming(Some(CONNECTIONS_IN_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_BURST_MAX))
        .with_max_pending_incoming(Some(CONNECTIONS_PENDING_MAX))
        .with_max_pending_outgoing(Some(CONNECTIONS_PENDING_MAX));
    let mdns = (config.mdns && parameters.scope != Scope::Loopback)
        .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), local))
        .transpose()
        .map_err(|error| NetError::Mdns(error.to_string()))?;
    Ok(Behaviour {
        blocked: allow_block_list::Behaviour::default(),
        connection_limits: connection_limits::Behaviour::new(limits),
        memory_limits: memory_connection_limits::Behaviour::with_max_bytes(PROCESS_MEMORY_MAX_BYTES),
        identify: identify::Behaviour::new(
            identify::Config::new(parameters.protocol("1"), keypair.public())
                .with_agent_version(concat!("starling/", env!("CARGO_PKG_VERSION")).to_owned())
                .with_push_listen_addr_updates(true)
                // Its addresses are unfiltered; those worth keeping go to our own book.
                .with_cache_size(0),
        ),
        ping: ping::Behaviour::default(),
        gossip: Quiet::new(gossip(config)?),
        kad: Scoped::new(kademlia(parameters, local, dht_server).map_err(name)?, parameters.scope),
        mdns: Toggle::from(mdns),
        streams: streams::Behaviour::new(parameters).map_err(name)?,
    })
}

fn gossip(config: &NetConfig) -> Result<gossipsub::Behaviour, NetError> {
    let fault = |text: &str| NetError::Transport(format!("gossip: {text}"));
    let gossip_config = ConfigBuilder::default()
        .mesh_n(6)
        .mesh_n_low(5)
        .mesh_n_high(10)
        .mesh_outbound_min(2)
        .heartbeat_interval(Duration::from_secs(1))
        .heartbeat_initial_delay(Duration::from_millis(100))
        .history_length(GOSSIP_HISTORY.0)
        .history_gossip(GOSSIP_HISTORY.1)
        .idontwant_message_size_threshold(IDONTWANT_BYTES)
        .duplicate_cache_time(SEEN_FOR)
        .max_transmit_size(GOSSIP_BYTES_MAX)
        .connection_handler_queue_len(GOSSIP_QUEUE)
        // Publishing to everybody would tell a neighbour outside the mesh who published.
        .flood_publish(false)
        .validate_messages()
        // Without signatures the seen-cache is asked before anything costs.
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| MessageId::from(&blake3::hash(&message.data).as_bytes()[..MESSAGE_ID_BYTES]))
        .build()
        .map_err(|error| fault(&error.to_string()))?;
    let mut behaviour: gossipsub::Behaviour =
        gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, gossip_config).map_err(fault)?;
    let topic = gossip_topic(&config.parameters, config.topic);
    let (params, thresholds) = scores(&topic);
    behaviour.with_peer_score(params, thresholds).map_err(|error| fault(&error))?;
    behaviour.subscribe(&topic).map_err(|error| fault(&error.to_string()))?;
    Ok(behaviour)
}

/// Only invalid messages count: -20 for the first, which leaves the mesh; at the third in an hour nothing
/// of the peer is read any more. Everything else needs traffic to be tuned with.
fn scores(topic: &IdentTopic) -> (PeerScoreParams, PeerScoreThresholds) {
    let hour = Duration::from_secs(3_600);
    let invalid = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: gossipsub::score_parameter_decay(hour),
        ..TopicScoreParams::default()
    };
    let params = PeerScoreParams {
        topics: [(topic.hash(), invalid)].into(),
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: 0.0,
        slow_peer_weight: 0.0,
        retain_score: hour,
        ..PeerScoreParams::default()
    };
    let thresholds = PeerScoreThresholds {
        gossip_threshold: -40.0,
        publish_threshold: -80.0,
        graylist_threshold: -160.0,
        ..PeerScoreThresholds::default()
    };
    (params, thresholds)
}

fn kademlia(
    parameters: &NetworkParameters,
    local: PeerId,
    server: bool,
) -> Result<kad::Behaviour<MemoryStore>, libp2p::swarm::InvalidProtocol> {
    let store = MemoryStoreConfig {
        max_records: 0,
        max_provided_keys: PROVIDER_KEYS_MAX,
        max_providers_per_key: PROVIDERS_PER_KEY_MAX,
        ..MemoryStoreConfig::default()
    };
    let mut config = kad::Config::new(StreamProtocol::try_from_owned(parameters.protocol("kad/1"))?);
    config
        .set_query_timeout(QUERY_TIMEOUT)
        // Nothing is stored unless our own code has looked at it: values never, providers within limits.
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_caching(kad::Caching::Disabled)
        .set_publication_interval(None)
        .set_replication_interval(None)
        .set_provider_record_ttl(Some(PROVIDER_TTL))
        .set_provider_publication_interval(Some(PROVIDER_INTERVAL))
        .set_periodic_bootstrap_interval(Some(BOOTSTRAP_INTERVAL));
    let mut behaviour = kad::Behaviour::with_config(local, MemoryStore::with_config(local, store), config);
    behaviour.set_mode(Some(if server { kad::Mode::Server } else { kad::Mode::Client }));
    Ok(behaviour)
}

/// Addresses of the local network that Kademlia may dial, at most.
const TRUSTED_MAX: usize = 512;

/// Kademlia, kept from dialing what the network does not span.
///
/// Its queries dial every address that any peer names. On the open network that would let strangers make
/// this node knock at the doors of its own home; so private addresses are dialed only if they came to us
/// over that local network.
pub(crate) struct Scoped<B> {
    /// The behaviour itself.
    pub(crate) inner: B,
    network: Scope,
    trusted: BTreeSet<Multiaddr>,
}

impl<B> Scoped<B> {
    fn new(inner: B, network: Scope) -> Self {
        Self { inner, network, trusted: BTreeSet::new() }
    }

    /// Allows an address that was learnt where it can be reached.
    pub(crate) fn trust(&mut self, address: Multiaddr) {
        if self.trusted.len() >= TRUSTED_MAX {
            self.trusted.pop_first();
        }
        self.trusted.insert(address);
    }

    fn may_dial(&self, address: &Multiaddr) -> bool {
        let Some(endpoint) = Endpoint::parse(address) else { return false };
        let scope = ip_scope(endpoint.ip);
        match self.network {
            Scope::Loopback => scope == Some(AddressScope::Loopback),
            Scope::Lan => matches!(scope, Some(AddressScope::Loopback | AddressScope::Lan)),
            Scope::Internet => scope == Some(AddressScope::Global) || self.trusted.contains(&endpoint.multiaddr()),
        }
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Scoped<B> {
    type ConnectionHandler = B::ConnectionHandler;
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
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Role,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let mut named = self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)?;
        named.retain(|address| self.may_dial(address));
        Ok(named)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Role,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(cx)
    }
}
