//! The invite: a line of text, or a QR code, by which a person brings another in. SPEC: B16.
//!
//! ```text
//! version 1 | length 2 (of all) | flags 1 | network 5 | account 32 | address 32 | shard 4
//! with flag bit 0: one-time key id 8 | one-time key 32
//! expiry_hour 4 (2^32-1: never) | name length 1 | name, at most 24
//! peers, to the end: kind 1 (bit 0: TCP, else QUIC; bit 1: IPv6, else IPv4) | port 2 | ip 4 or 16 | node key 32
//! checksum 4: first bytes of BLAKE3-256 of all before it
//! ```
//!
//! Text: `starling:` and base32 (RFC 4648, no padding), in any case. Each kind of damage gets its own
//! error: the cure for a cut line is not that for a mistyped one. Version, length and checksum stand in the same
//! places in every version, so that a newer invite can be told from a damaged one.

mod text;

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::envelope::Epoch;
use crate::frame::Fields;
use crate::limits::{INVITE_BYTES_MAX, INVITE_NAME_BYTES_MAX};
use crate::network::NetworkId;

/// Version that this crate writes, and the only one that it reads.
pub const INVITE_VERSION: u8 = 1;
/// What the text of an invite begins with.
pub const INVITE_PREFIX: &str = "starling:";
/// Expiry of an address, which never ends.
pub const NEVER: Epoch = Epoch(u32::MAX);

const HEADER_BYTES: usize = 3;
const CHECKSUM_BYTES: usize = 4;
/// An invite without one-time key, name and peers.
const BYTES_MIN: usize = 86;
const FLAG_ONE_TIME_KEY: u8 = 1;
const KIND_TCP: u8 = 1;
const KIND_IPV6: u8 = 2;
/// No version below 16 will be longer; beyond it a header is taken for damaged.
const PLAUSIBLE_VERSION_MAX: u8 = 15;
const PLAUSIBLE_BYTES_MAX: usize = 4_096;

/// Why a text is not an invite that can be used. The messages are those that a person sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InviteError {
    /// It does not begin with `starling:`, or is far too long.
    #[error("This is not an invite. An invite begins with 'starling:'.")]
    NotAnInvite,
    /// It ends too early.
    #[error("Invite is cut: {}", CutText { arrived: *arrived, expected: *expected })]
    Cut {
        /// Bytes that arrived.
        arrived: usize,
        /// Bytes that its header announces, if that arrived.
        expected: Option<usize>,
    },
    /// Characters that base32 does not have, or a checksum that does not match.
    #[error("One or more characters are wrong. Copy it again.")]
    Mistyped,
    /// A whole invite, and more after it.
    #[error("Something follows the invite. Copy the invite alone.")]
    Trailing,
    /// An undamaged invite of a version that this build does not know.
    #[error(
        "This invite needs a newer Starling (it has version {version}; this build reads version {INVITE_VERSION})."
    )]
    NewerVersion {
        /// Its version.
        version: u8,
    },
    /// Undamaged, but whoever made it wrote something impossible.
    #[error("This invite was made wrongly ({field}). Ask for a new one.")]
    Contents {
        /// The field that is impossible.
        field: &'static str,
    },
}

struct CutText {
    arrived: usize,
    expected: Option<usize>,
}

impl fmt::Display for CutText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expected {
            Some(expected) => write!(f, "{} of {expected} bytes arrived.", self.arrived),
            None => f.write_str("only its beginning arrived."),
        }
    }
}

/// How a peer in an invite is dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InvitePeerKind {
    /// QUIC over UDP.
    Quic,
    /// TCP.
    Tcp,
}

/// A node by which the guest may join the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvitePeer {
    /// Transport.
    pub kind: InvitePeerKind,
    /// IPv4 or IPv6 address.
    pub ip: IpAddr,
    /// UDP or TCP port, not 0.
    pub port: u16,
    /// Ed25519 node key, from which the libp2p peer id follows.
    pub node_key: [u8; 32],
}

impl InvitePeer {
    /// Bytes that it takes in an invite: 39 or 51.
    pub const fn encoded_bytes(&self) -> usize {
        match self.ip {
            IpAddr::V4(_) => 39,
            IpAddr::V6(_) => 51,
        }
    }

    fn is_possible(&self) -> bool {
        self.port != 0 && !self.ip.is_unspecified() && !self.ip.is_multicast()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let tcp = if self.kind == InvitePeerKind::Tcp { KIND_TCP } else { 0 };
        let ipv6 = if self.ip.is_ipv6() { KIND_IPV6 } else { 0 };
        bytes.push(tcp | ipv6);
        bytes.extend_from_slice(&self.port.to_le_bytes());
        match self.ip {
            IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
        }
        bytes.extend_from_slice(&self.node_key);
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let byte = fields.u8()?;
        if byte & !(KIND_TCP | KIND_IPV6) != 0 {
            return None;
        }
        let kind = if byte & KIND_TCP == 0 { InvitePeerKind::Quic } else { InvitePeerKind::Tcp };
        let port = fields.u16()?;
        let ip = if byte & KIND_IPV6 == 0 {
            IpAddr::from(fields.array::<4>()?)
        } else {
            IpAddr::from(fields.array::<16>()?)
        };
        let peer = Self { kind, ip, port, node_key: fields.array()? };
        peer.is_possible().then_some(peer)
    }
}

/// The key that makes an invite good for one guest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OneTimeKey {
    /// Its number at the inviter; never 0.
    pub id: u64,
    /// X25519 public key (OPK).
    pub public: [u8; 32],
}

impl fmt::Debug for OneTimeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeKey(..)")
    }
}

/// An invite (with a one-time key) or a reusable address (without).
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// First five bytes of the network's id.
    pub network: [u8; 5],
    /// Ed25519 account key of the inviter (A).
    pub account: [u8; 32],
    /// Address under which the inviter's bundle is found (addr); who knows it can read the bundle.
    pub address: [u8; 32],
    /// Shard of the inviter.
    pub shard: u32,
    /// Present in an invite, absent in a reusable address.
    pub one_time_key: Option<OneTimeKey>,
    /// Last hour in which it may be used; [`NEVER`] for an address.
    pub expiry: Epoch,
    /// Name of the inviter, at most 24 bytes without control characters; may be empty.
    pub name: String,
    /// Nodes by which the guest may join.
    pub peers: Vec<InvitePeer>,
}

/// Whoever reads an invite can use it, so logs do not show one.
impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invite(one use: {}, {} peers)", self.one_time_key.is_some(), self.peers.len())
    }
}

impl Invite {
    /// The part of a person's name that fits an invite.
    pub fn short_name(name: &str) -> &str {
        name.get(..name.floor_char_boundary(INVITE_NAME_BYTES_MAX)).unwrap_or_default()
    }

    /// The first bytes of a network's id, by which an invite names it.
    pub fn network_prefix(network: &NetworkId) -> [u8; 5] {
        let [a, b, c, d, e, ..] = network.0;
        [a, b, c, d, e]
    }

    /// Whether it belongs to `network`.
    pub fn is_for(&self, network: &NetworkId) -> bool {
        self.network == Self::network_prefix(network)
    }

    /// Whether its time is over at `now`.
    pub fn is_expired(&self, now: Epoch) -> bool {
        self.expiry != NEVER && now > self.expiry
    }

    /// The bytes of the invite, with each peer, in their order, that still fits [`INVITE_BYTES_MAX`].
    ///
    /// # Errors
    /// [`InviteError::Contents`] when the name, the one-time key's id or a peer is impossible.
    pub fn encode(&self) -> Result<Vec<u8>, InviteError> {
        let name_length = u8::try_from(self.name.len()).map_err(|_| NAME)?;
        if !is_name(&self.name) {
            return Err(NAME);
        }
        let mut bytes = vec![INVITE_VERSION, 0, 0, u8::from(self.one_time_key.is_some())];
        bytes.extend_from_slice(&self.network);
        bytes.extend_from_slice(&self.account);
        bytes.extend_from_slice(&self.address);
        bytes.extend_from_slice(&self.shard.to_le_bytes());
        if let Some(key) = &self.one_time_key {
            if key.id == 0 {
                return Err(ONE_TIME_KEY);
            }
            bytes.extend_from_slice(&key.id.to_le_bytes());
            bytes.extend_from_slice(&key.public);
        }
        bytes.extend_from_slice(&self.expiry.0.to_le_bytes());
        bytes.push(name_length);
        bytes.extend_from_slice(self.name.as_bytes());
        for peer in &self.peers {
            if !peer.is_possible() {
                return Err(PEERS);
            }
            let with_peer = bytes.len().saturating_add(peer.encoded_bytes()).saturating_add(CHECKSUM_BYTES);
            if with_peer <= INVITE_BYTES_MAX {
                peer.write(&mut bytes);
            }
        }
        let length = bytes.len().saturating_add(CHECKSUM_BYTES);
        set_header(&mut bytes, INVITE_VERSION, length);
        bytes.extend_from_slice(&checksum(&bytes));
        Ok(bytes)
    }

    /// Takes `bytes` as exactly one invite.
    ///
    /// # Errors
    /// [`InviteError`], which tells the kinds of damage apart.
    pub fn decode(bytes: &[u8]) -> Result<Self, InviteError> {
        let intact = |length: usize| bytes.get(..length).is_some_and(checksum_holds);
        match length_of(bytes) {
            Some(length) if intact(length) && length == bytes.len() => {}
            Some(length) if intact(length) => return Err(InviteError::Trailing),
            _ => return Err(damage(bytes)),
        }
        match bytes.first() {
            Some(&INVITE_VERSION) => {}
            Some(&version) if version > INVITE_VERSION => return Err(InviteError::NewerVersion { version }),
            _ => return Err(VERSION),
        }
        if !(BYTES_MIN..=INVITE_BYTES_MAX).contains(&bytes.len()) {
            return Err(LENGTH);
        }
        let contents = bytes.len().checked_sub(CHECKSUM_BYTES).and_then(|end| bytes.get(HEADER_BYTES..end));
        Self::read(Fields(contents.ok_or(LENGTH)?))
    }

    /// The fields between header and checksum.
    fn read(mut fields: Fields<'_>) -> Result<Self, InviteError> {
        let flags = fields.u8().ok_or(LENGTH)?;
        if flags & !FLAG_ONE_TIME_KEY != 0 {
            return Err(FLAGS);
        }
        let network = fields.array().ok_or(LENGTH)?;
        let account = fields.array().ok_or(LENGTH)?;
        let address = fields.array().ok_or(LENGTH)?;
        let shard = fields.u32().ok_or(LENGTH)?;
        let one_time_key = match flags & FLAG_ONE_TIME_KEY {
            0 => None,
            _ => Some(OneTimeKey { id: fields.u64().ok_or(LENGTH)?, public: fields.array().ok_or(LENGTH)? }),
        };
        if one_time_key.is_some_and(|key| key.id == 0) {
            return Err(ONE_TIME_KEY);
        }
        let expiry = Epoch(fields.u32().ok_or(LENGTH)?);
        let name_length = usize::from(fields.u8().ok_or(LENGTH)?);
        let name = fields.take(name_length).and_then(|bytes| str::from_utf8(bytes).ok()).ok_or(NAME)?;
        if !is_name(name) {
            return Err(NAME);
        }
        let mut peers = Vec::new();
        while !fields.is_empty() {
            peers.push(InvitePeer::read(&mut fields).ok_or(PEERS)?);
        }
        Ok(Self { network, account, address, shard, one_time_key, expiry, name: name.to_owned(), peers })
    }
}

const VERSION: InviteError = InviteError::Contents { field: "version" };
const LENGTH: InviteError = InviteError::Contents { field: "length" };
const FLAGS: InviteError = InviteError::Contents { field: "flags" };
const ONE_TIME_KEY: InviteError = InviteError::Contents { field: "one-time key" };
const NAME: InviteError = InviteError::Contents { field: "name" };
const PEERS: InviteError = InviteError::Contents { field: "peers" };

/// Whether a name may stand in an invite: it is shown in terminals, so nothing in it may steer one or
/// turn the direction of writing.
fn is_name(name: &str) -> bool {
    let steers = |char: char| char.is_control() || matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    name.len() <= INVITE_NAME_BYTES_MAX && !name.chars().any(steers)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
    [a, b, c, d]
}

/// Whether the last four bytes are the checksum of all before them.
fn checksum_holds(bytes: &[u8]) -> bool {
    bytes.split_last_chunk().is_some_and(|(before, last)| checksum(before) == *last)
}

fn length_of(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, low, high, ..] => Some(usize::from(u16::from_le_bytes([*low, *high]))),
        _ => None,
    }
}

fn set_header(bytes: &mut [u8], version: u8, length: usize) {
    let [low, high] = u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    for (slot, byte) in bytes.iter_mut().zip([version, low, high]) {
        *slot = byte;
    }
}

/// Names the damage of bytes that are not a whole invite.
fn damage(bytes: &[u8]) -> InviteError {
    let (Some(version), Some(length)) = (bytes.first(), length_of(bytes)) else {
        return InviteError::Cut { arrived: bytes.len(), expected: None };
    };
    let plausible = match *version {
        INVITE_VERSION => (BYTES_MIN..=INVITE_BYTES_MAX).contains(&length),
        version => (2..=PLAUSIBLE_VERSION_MAX).contains(&version) && length <= PLAUSIBLE_BYTES_MAX,
    };
    if length <= bytes.len() || !plausible {
        return InviteError::Mistyped;
    }
    // A wrong character in the length looks like a cut. It is one only if all else does not fit together.
    let mut repaired = bytes.to_vec();
    set_header(&mut repaired, INVITE_VERSION, bytes.len());
    if checksum_holds(&repaired) {
        return InviteError::Mistyped;
    }
    InviteError::Cut { arrived: bytes.len(), expected: Some(length) }
}

/// Fuzz entry: the same bytes as an invite and as the text of one. What is read is the one encoding of it.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    if let Ok(invite) = Invite::decode(data) {
        assert_eq!(invite.encode().as_deref(), Ok(data));
        assert_eq!(invite.to_text().and_then(|text| Invite::parse(&text)), Ok(invite));
    }
    if let Ok(invite) = Invite::parse(&String::from_utf8_lossy(data)) {
        assert_eq!(invite.to_text().and_then(|text| Invite::parse(&text)), Ok(invite));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(name: &str, expiry: Epoch) -> Invite {
        Invite {
            network: [1; 5],
            account: [2; 32],
            address: [3; 32],
            shard: 4,
            one_time_key: Some(OneTimeKey { id: 5, public: [6; 32] }),
            expiry,
            name: name.to_owned(),
            peers: Vec::new(),
        }
    }

    #[test]
    fn an_invite_may_be_used_to_the_end_of_its_hour_and_an_address_for_ever() {
        let invited = invite("Ana", Epoch(100));
        assert!(!invited.is_expired(Epoch(100)));
        assert!(invited.is_expired(Epoch(101)));
        assert!(!invite("Ana", NEVER).is_expired(Epoch(u32::MAX)));
    }

    #[test]
    fn an_invite_belongs_to_one_network() {
        let mut network = [1; 32];
        assert!(invite("Ana", NEVER).is_for(&NetworkId(network)));
        network[5] = 9;
        assert!(invite("Ana", NEVER).is_for(&NetworkId(network)), "only five bytes travel");
        network[4] = 9;
        assert!(!invite("Ana", NEVER).is_for(&NetworkId(network)));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(Invite::short_name("Ana"), "Ana");
        assert_eq!(Invite::short_name("a23456789012345678901234567890"), "a23456789012345678901234");
        // Eight characters of three bytes fill the room; one letter before them leaves room for seven.
        assert_eq!(Invite::short_name("漢漢漢漢漢漢漢漢漢"), "漢漢漢漢漢漢漢漢");
        assert_eq!(Invite::short_name("a漢漢漢漢漢漢漢漢"), "a漢漢漢漢漢漢漢");
    }

    #[test]
    fn what_the_reader_would_refuse_is_not_written() {
        assert_eq!(invite("a2345678901234567890123456", NEVER).encode(), Err(NAME));
        assert_eq!(invite("a\nb", NEVER).encode(), Err(NAME));
        let peer = InvitePeer { kind: InvitePeerKind::Tcp, ip: [0, 0, 0, 0].into(), port: 1, node_key: [7; 32] };
        assert_eq!(Invite { peers: vec![peer], ..invite("", NEVER) }.encode(), Err(PEERS));
        let key = OneTimeKey { id: 0, public: [0; 32] };
        assert_eq!(Invite { one_time_key: Some(key), ..invite("", NEVER) }.encode(), Err(ONE_TIME_KEY));
    }

    #[test]
    fn the_messages_are_those_a_person_sees() {
        let cut = InviteError::Cut { arrived: 201, expected: Some(263) };
        assert_eq!(cut.to_string(), "Invite is cut: 201 of 263 bytes arrived.");
        assert_eq!(InviteError::Mistyped.to_string(), "One or more characters are wrong. Copy it again.");
    }

    #[test]
    fn debug_shows_neither_address_nor_keys() {
        assert_eq!(format!("{:?}", invite("Ana", NEVER)), "Invite(one use: true, 0 peers)");
        assert_eq!(format!("{:?}", OneTimeKey { id: 5, public: [6; 32] }), "OneTimeKey(..)");
    }
}
