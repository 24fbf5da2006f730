//! What this crate sees of an envelope, and the throw-away key in each. SPEC: B1.
//!
//! An envelope's bytes belong to the carrier. Here it is four things: the ten bytes before the tag, the tag, the
//! raw public key E, and the body. The first three, in that order, are AD0: everything encrypted in the body is
//! bound to them.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::primitives::bytes::concat;
use crate::primitives::secret::Secret;
use crate::primitives::x25519;

/// Bytes of AD0, `env[0..58]`.
pub(crate) const AD0_BYTES: usize = 58;
/// Bytes of a first contact's and of a bundle's plaintext: a small body without the AEAD's tag.
pub(crate) const SMALL_PLAINTEXT_BYTES: usize = 1_946;
/// Bytes of a message's encrypted header.
pub(crate) const HEADER_BYTES: usize = 56;

/// `env[10..26]`: by it the one who can open an envelope finds it; to all others it is random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag(pub [u8; 16]);

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tag({:032x})", u128::from_be_bytes(self.0))
    }
}

/// `env[0..10]`: `version 1 | class 1 | topic 4 | epoch_hour 4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadPrefix(pub [u8; 10]);

impl HeadPrefix {
    /// UTC hours since 1970 in which the envelope was made.
    pub const fn epoch_hour(&self) -> u32 {
        let [_, _, _, _, _, _, a, b, c, d] = self.0;
        u32::from_le_bytes([a, b, c, d])
    }
}

/// The two sizes of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 2,048 bytes; body 1,962.
    Small,
    /// 16,384 bytes; body 16,298.
    Large,
}

impl Class {
    /// Bytes of an envelope's body.
    pub const fn body_bytes(self) -> usize {
        match self {
            Self::Small => 1_962,
            Self::Large => 16_298,
        }
    }

    /// Bytes of records that a message of this class carries: the body without header and AEAD tag.
    pub const fn room_bytes(self) -> usize {
        match self {
            Self::Small => 1_890,
            Self::Large => 16_226,
        }
    }

    /// The class that has bodies of this length.
    pub(crate) const fn of_body(length: usize) -> Option<Self> {
        match length {
            1_962 => Some(Self::Small),
            16_298 => Some(Self::Large),
            _ => None,
        }
    }
}

/// The fresh X25519 key pair of one envelope, whose public half E is in clear.
///
/// Every envelope has one, also where its secret half is not used: first contacts, which need it, then look like
/// everything else. Making one costs a scalar multiplication, so callers keep a pool made ahead. Never use one
/// twice.
pub struct Ephemeral {
    secret: Secret<32>,
    public_raw: [u8; 32],
}

impl Ephemeral {
    /// A fresh key pair with a random bit 255 (X25519 ignores it; a bit that were always 0 would tell an
    /// envelope from random bytes). Draws 32 bytes, then one whose lowest bit is used.
    pub fn generate(rng: &mut impl rand_core::CryptoRng) -> Self {
        let secret = Secret::generate(rng);
        let mut public_raw = x25519::public_of(&secret);
        let mut coin = [0; 1];
        rng.fill_bytes(&mut coin);
        let ([coin], [.., last]) = (coin, &mut public_raw);
        *last |= (coin & 1) << 7;
        Self { secret, public_raw }
    }

    /// E as it stands in the envelope.
    pub const fn public_raw(&self) -> &[u8; 32] {
        &self.public_raw
    }

    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.secret
    }
}

/// What goes into an envelope after its prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// `env[10..26]`.
    pub tag: Tag,
    /// E, `env[26..58]`.
    pub ephemeral: [u8; 32],
    /// `env[86..]`: 1,962 or 16,298 bytes.
    pub body: Vec<u8>,
}

/// A received envelope as far as opening it goes.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// `env[0..10]`.
    pub prefix: HeadPrefix,
    /// `env[10..26]`.
    pub tag: Tag,
    /// E, `env[26..58]`, raw.
    pub ephemeral: [u8; 32],
    /// `env[86..]`.
    pub body: &'a [u8],
}

impl Parts<'_> {
    /// AD0 of B1.
    pub(crate) fn ad0(&self) -> [u8; AD0_BYTES] {
        ad0(&self.prefix, &self.tag, &self.ephemeral)
    }
}

/// AD0 = `env[0..58]`.
pub(crate) fn ad0(prefix: &HeadPrefix, tag: &Tag, ephemeral: &[u8; 32]) -> [u8; AD0_BYTES] {
    concat(&[&prefix.0, &tag.0, ephemeral])
}

/// The envelope could not be opened. Why is not said, to nobody: one error for all causes leaves nothing to learn
/// from it. Nobody is to blame either, since whoever forwarded the envelope could not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the envelope does not open")]
pub struct OpenError;
