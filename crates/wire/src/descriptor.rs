//! The node descriptor: by which keys and addresses a node is reached, signed by the node itself, so
//! that others can pass it on without being believed. SPEC: B14, B15.
//!
//! ```text
//! node key 32 | onion key 32 | expiry_unix_s 8 | count 1 (1 to 8)
//! count times: length 1 (1 to 128) | binary multiaddr
//! signature 64: Ed25519 by the node key over L("node") and all bytes before it
//! ```

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::frame::Fields;
use crate::limits::{ADDRESS_BYTES_MAX, DESCRIPTOR_ADDRESSES_MAX, DESCRIPTOR_CLOCK_SLACK_S, DESCRIPTOR_LIFETIME_S};
use crate::network::label;

const SIGNATURE_BYTES: usize = 64;
/// Bytes before the addresses.
const HEAD_BYTES: usize = 73;

/// Bytes of the longest descriptor: 1,169.
pub const DESCRIPTOR_BYTES_MAX: usize =
    HEAD_BYTES + DESCRIPTOR_ADDRESSES_MAX * (ADDRESS_BYTES_MAX + 1) + SIGNATURE_BYTES;
/// Bytes of the shortest: one address of one byte.
pub const DESCRIPTOR_BYTES_MIN: usize = HEAD_BYTES + 2 + SIGNATURE_BYTES;

/// Why a descriptor is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DescriptorError {
    /// The bytes are cut, or go on after the signature.
    #[error("the descriptor is not whole")]
    Length,
    /// No address, or more than eight.
    #[error("a descriptor has 1 to 8 addresses")]
    AddressCount,
    /// An empty address, or one of more than 128 bytes.
    #[error("an address has 1 to 128 bytes")]
    AddressLength,
    /// The signature is not that of the node key.
    #[error("the descriptor's signature does not hold")]
    Signature,
    /// Its time is over.
    #[error("the descriptor has expired")]
    Expired,
    /// It claims to live longer than any descriptor may.
    #[error("the descriptor expires too far ahead")]
    TooFarAhead,
}

/// A descriptor of well-formed bytes. Its signature is NOT checked: see [`NodeDescriptor::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct NodeDescriptor {
    bytes: Box<[u8]>,
    node_key: [u8; 32],
    onion_key: [u8; 32],
    expiry_unix_s: u64,
    addresses: Vec<Box<[u8]>>,
}

impl fmt::Debug for NodeDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeDescriptor(")?;
        self.node_key.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ", {} addresses)", self.addresses.len())
    }
}

/// A descriptor whose signature held and whose time had come and not passed when it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDescriptor(NodeDescriptor);

impl VerifiedDescriptor {
    /// The descriptor.
    pub fn descriptor(&self) -> &NodeDescriptor {
        &self.0
    }

    /// The descriptor, to be passed on.
    pub fn into_descriptor(self) -> NodeDescriptor {
        self.0
    }
}

impl NodeDescriptor {
    /// Makes and signs a descriptor. `addresses` are 1 to 8 binary multiaddrs of 1 to 128 bytes.
    ///
    /// # Errors
    /// [`DescriptorError::AddressCount`] or [`DescriptorError::AddressLength`].
    pub fn sign(
        node: &SigningKey,
        onion_key: [u8; 32],
        expiry_unix_s: u64,
        addresses: &[impl AsRef<[u8]>],
    ) -> Result<Self, DescriptorError> {
        let mut bytes = Vec::with_capacity(DESCRIPTOR_BYTES_MAX);
        bytes.extend_from_slice(node.verifying_key().as_bytes());
        bytes.extend_from_slice(&onion_key);
        bytes.extend_from_slice(&expiry_unix_s.to_le_bytes());
        bytes.push(u8::try_from(addresses.len()).map_err(|_| DescriptorError::AddressCount)?);
        for address in addresses.iter().map(AsRef::as_ref) {
            bytes.push(u8::try_from(address.len()).map_err(|_| DescriptorError::AddressLength)?);
            bytes.extend_from_slice(address);
        }
        let signature = node.sign(&signed_bytes(&bytes));
        bytes.extend_from_slice(&signature.to_bytes());
        Self::parse(&bytes)
    }

    /// Takes `bytes` as a descriptor; the signature is not checked.
    ///
    /// # Errors
    /// [`DescriptorError`] of form.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        if bytes.len() > DESCRIPTOR_BYTES_MAX {
            return Err(DescriptorError::Length);
        }
        let mut fields = Fields(bytes);
        let node_key = fields.array().ok_or(DescriptorError::Length)?;
        let onion_key = fields.array().ok_or(DescriptorError::Length)?;
        let expiry_unix_s = fields.u64().ok_or(DescriptorError::Length)?;
        let count = usize::from(fields.u8().ok_or(DescriptorError::Length)?);
        if !(1..=DESCRIPTOR_ADDRESSES_MAX).contains(&count) {
            return Err(DescriptorError::AddressCount);
        }
        let addresses = (0..count).map(|_| read_address(&mut fields)).collect::<Result<Vec<_>, _>>()?;
        fields.take(SIGNATURE_BYTES).ok_or(DescriptorError::Length)?;
        if !fields.is_empty() {
            return Err(DescriptorError::Length);
        }
        Ok(Self { bytes: bytes.into(), node_key, onion_key, expiry_unix_s, addresses })
    }

    /// Checks signature and expiry: `now < expiry <= now + 48 h + 1 h` for clocks that differ.
    ///
    /// # Errors
    /// [`DescriptorError::Expired`], [`DescriptorError::TooFarAhead`] (clocks may differ: nobody's provable
    /// fault) or [`DescriptorError::Signature`] (the fault of whoever passed it on).
    pub fn verify(&self, now_unix_s: u64) -> Result<VerifiedDescriptor, DescriptorError> {
        if self.expiry_unix_s <= now_unix_s {
            return Err(DescriptorError::Expired);
        }
        let latest = now_unix_s.saturating_add(DESCRIPTOR_LIFETIME_S).saturating_add(DESCRIPTOR_CLOCK_SLACK_S);
        if self.expiry_unix_s > latest {
            return Err(DescriptorError::TooFarAhead);
        }
        let (signed, signature) = self.bytes.split_last_chunk().ok_or(DescriptorError::Length)?;
        let key = VerifyingKey::from_bytes(&self.node_key).map_err(|_| DescriptorError::Signature)?;
        key.verify_strict(&signed_bytes(signed), &Signature::from_bytes(signature))
            .map_err(|_| DescriptorError::Signature)?;
        Ok(VerifiedDescriptor(self.clone()))
    }

    /// All bytes, signature included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The node's Ed25519 public key, which is its libp2p identity.
    pub fn node_key(&self) -> &[u8; 32] {
        &self.node_key
    }

    /// The node's X25519 public key, to which push cells are sealed.
    pub fn onion_key(&self) -> &[u8; 32] {
        &self.onion_key
    }

    /// When it ceases to be valid, seconds since 1970.
    pub fn expiry_unix_s(&self) -> u64 {
        self.expiry_unix_s
    }

    /// 1 to 8 binary multiaddrs of 1 to 128 bytes each; that they are multiaddrs is not checked.
    pub fn addresses(&self) -> &[Box<[u8]>] {
        &self.addresses
    }
}

/// As a byte string: in link frames, `length 8 | bytes`.
impl Serialize for NodeDescriptor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for NodeDescriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(DescriptorVisitor)
    }
}

struct DescriptorVisitor;

impl de::Visitor<'_> for DescriptorVisitor {
    type Value = NodeDescriptor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a node descriptor")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        NodeDescriptor::parse(bytes).map_err(E::custom)
    }
}

fn signed_bytes(descriptor: &[u8]) -> Vec<u8> {
    let mut bytes = label("node");
    bytes.extend_from_slice(descriptor);
    bytes
}

fn read_address(fields: &mut Fields<'_>) -> Result<Box<[u8]>, DescriptorError> {
    let length = usize::from(fields.u8().ok_or(DescriptorError::Length)?);
    if !(1..=ADDRESS_BYTES_MAX).contains(&length) {
        return Err(DescriptorError::AddressLength);
    }
    fields.take(length).map(Box::from).ok_or(DescriptorError::Length)
}

/// Fuzz entry: form, and the check of signature and time at the last moment of its life.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    if let Ok(descriptor) = NodeDescriptor::parse(data) {
        assert_eq!(descriptor.as_bytes(), data);
        assert!((1..=DESCRIPTOR_ADDRESSES_MAX).contains(&descriptor.addresses().len()));
        let verified = descriptor.verify(descriptor.expiry_unix_s().saturating_sub(1));
        assert!(verified.is_ok() || verified == Err(DescriptorError::Signature) || descriptor.expiry_unix_s() == 0);
    }
}
