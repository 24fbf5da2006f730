//! The daemon's own records in the vault: its libp2p key and the peers it met.
//!
//! One libp2p key per installation and network; it has nothing to do with the account.

use rand::Rng;
use starling_messenger::record::{RecordKind, VaultKey, VaultWrite};
use starling_net::CachedPeer;
use starling_wire::codec;
use zeroize::Zeroizing;

/// Name of the record with the libp2p key's 32-byte seed.
const NETWORK_KEY: &str = "network key";
/// Name of the record with the peer cache, in the network crate's encoding.
const PEER_CACHE: &str = "peer cache";

fn key(name: &str, network: &str) -> VaultKey {
    VaultKey::named(RecordKind::Node, format!("{name} {network}"))
}

/// Reads the libp2p key of `network` with `get`, or makes a new one and the write that keeps it.
///
/// # Errors
/// What `get` says, or a record of another length than 32 bytes.
pub(crate) fn load_or_make_key(
    network: &str,
    get: impl Fn(&VaultKey) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>>,
    rng: &mut impl Rng,
) -> anyhow::Result<(Zeroizing<[u8; 32]>, Option<VaultWrite>)> {
    let key = key(NETWORK_KEY, network);
    if let Some(bytes) = get(&key)? {
        let seed = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| anyhow::anyhow!("the node's key is damaged"))?;
        return Ok((Zeroizing::new(seed), None));
    }
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut());
    let write = VaultWrite::Put { key, value: Zeroizing::new(seed.to_vec()) };
    Ok((seed, Some(write)))
}

/// Where the peer cache of a network lies.
pub(crate) fn peer_cache_key(network: &str) -> VaultKey {
    key(PEER_CACHE, network)
}

/// Bytes of the peer cache: 200 peers with all their addresses, and room.
const PEER_CACHE_BYTES_MAX: u64 = 512 * 1024;

/// The write that remembers `peers`; none when they need more room than there is.
pub(crate) fn remember_peers(network: &str, peers: &[CachedPeer]) -> Option<VaultWrite> {
    let value = codec::encode(&peers, PEER_CACHE_BYTES_MAX).ok()?;
    Some(VaultWrite::Put { key: peer_cache_key(network), value: Zeroizing::new(value) })
}

/// Peers of earlier runs; a cache that cannot be read is an empty one.
pub(crate) fn remembered_peers(bytes: &[u8]) -> Vec<CachedPeer> {
    codec::decode(bytes, PEER_CACHE_BYTES_MAX).unwrap_or_default()
}
