//! A bundle: the public keys of a device, in an envelope like any other. SPEC: B6.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::{DevicePublic, Identity, ListHead, ListOrder, is_certified};
use crate::primitives::aead::OneTimeKey;
use crate::primitives::bytes::{Reader, array, boxed_array};
use crate::primitives::hash::keyed_blake3;
use crate::primitives::kem::{KEM_PUBLIC_BYTES, is_valid_key};
use crate::primitives::label;
use crate::primitives::secret::Secret;
use crate::primitives::signature::{SIGNATURE_BYTES, verify};
use crate::seal::{Class, Parts, Tag};

use super::{CLOCK_SLACK_HOURS, USABLE_HOURS};

/// Envelopes that a reader tries under one bundle tag, at most: whoever knows an address can put up others.
pub const BUNDLE_TRIES_MAX: usize = 64;
/// Bytes of a bundle with its signature.
pub(crate) const BUNDLE_BYTES: usize = 1_520;
const HOURS_PER_WEEK: u32 = 168;

/// The public keys of a device, checked when read. What a contact's record keeps of the peer.
///
/// `A 32 | S 32 | D 32 | list_version 4 | list_head 32 | cert 64 | shard 4 | seq 4 | created_hour 4 | SPK 32 | INB 32 |
/// ek 1,184 | sig 64`, 1,520 bytes; sig = Ed25519(S, L("bundle") || all before it).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Whose.
    pub device: DevicePublic,
    /// The device list that the device speaks for.
    pub list: ListHead,
    #[serde(with = "array")]
    pub(crate) cert: [u8; SIGNATURE_BYTES],
    /// Where the device reads its mail.
    pub shard: u32,
    /// Counts the device's bundles.
    pub seq: u32,
    /// UTC hours since 1970.
    pub created_hour: u32,
    pub(crate) signed_prekey: [u8; 32],
    pub(crate) inbox: [u8; 32],
    #[serde(with = "boxed_array")]
    pub(crate) kem_key: Box<[u8; KEM_PUBLIC_BYTES]>,
}

/// What is known of a peer's bundles; an older one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// Its device list.
    pub list: ListHead,
    /// Its highest seq.
    pub seq: u32,
}

/// Why a bundle is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It does not open, is of another account, too old, or not rightly signed.
    #[error("not a valid bundle")]
    Invalid,
    /// The account has certified two device lists of one version: its key may be in other hands. The bundle is valid in
    /// all else, and not to be used unless a person decides for its list.
    #[error("two device lists of one version carry the account's signature")]
    ForkedList(Box<Bundle>),
}

impl fmt::Debug for Bundle {
    /// Says that there is one, not whose.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bundle").finish_non_exhaustive()
    }
}

impl Bundle {
    /// Opens the envelope `parts`, found under a tag of [`bundle_tag`], for those who know `addr`.
    ///
    /// Valid if created in (now - 336 h, now + 2 h], cert and signature hold, the account is `account` (if one is
    /// expected), the keys are usable, and (list version, seq) is not below `pinned`. The caller takes the highest
    /// [`Self::precedence`] of at most [`BUNDLE_TRIES_MAX`] tries.
    pub fn open(
        parts: &Parts<'_>,
        addr: &[u8; 32],
        account: Option<&[u8; 32]>,
        pinned: Option<&Pinned>,
        now_hour: u32,
    ) -> Result<Self, BundleError> {
        let bundle = Self::unseal(parts, addr, now_hour).ok_or(BundleError::Invalid)?;
        if account.is_some_and(|expected| *expected != bundle.device.account) {
            return Err(BundleError::Invalid);
        }
        let Some(pinned) = pinned else { return Ok(bundle) };
        match pinned.list.compare(&bundle.list) {
            ListOrder::Forked => Err(BundleError::ForkedList(Box::new(bundle))),
            ListOrder::Older => Err(BundleError::Invalid),
            ListOrder::Same if bundle.seq < pinned.seq => Err(BundleError::Invalid),
            ListOrder::Same | ListOrder::Newer => Ok(bundle),
        }
    }

    /// (list version, seq): of several valid bundles the highest wins.
    pub const fn precedence(&self) -> (u32, u32) {
        (self.list.version, self.seq)
    }

    /// What to pin when this bundle is taken.
    pub const fn pinned(&self) -> Pinned {
        Pinned { list: self.list, seq: self.seq }
    }

    /// Whether a handshake may still be made with it.
    pub const fn is_usable(&self, now_hour: u32) -> bool {
        self.created_hour <= now_hour.saturating_add(CLOCK_SLACK_HOURS)
            && now_hour < self.created_hour.saturating_add(USABLE_HOURS)
    }

    fn unseal(parts: &Parts<'_>, addr: &[u8; 32], now_hour: u32) -> Option<Self> {
        if Class::of_body(parts.body.len()) != Some(Class::Small) {
            return None;
        }
        let key = OneTimeKey::new(&bundle_key(addr, &parts.ephemeral));
        let plaintext = key.open(&parts.ad0(), parts.body)?;
        let (bundle, signed, signature) = Self::parse(&plaintext)?;
        let is_valid = bundle.is_usable(now_hour)
            && is_certified(&bundle.device, &bundle.list, &bundle.cert)
            && verify(&bundle.device.signing, &[label!("bundle"), signed], &signature)
            && is_valid_key(&bundle.kem_key);
        is_valid.then_some(bundle)
    }

    /// The bundle at the start of `plaintext`, the bytes that are signed, and the signature. The rest is padding.
    fn parse(plaintext: &[u8]) -> Option<(Self, &[u8], [u8; SIGNATURE_BYTES])> {
        let mut reader = Reader::new(plaintext.get(..BUNDLE_BYTES)?);
        let device = DevicePublic { account: reader.array()?, signing: reader.array()?, agreement: reader.array()? };
        let list = ListHead { version: reader.u32()?, head: reader.array()? };
        let bundle = Self {
            device,
            list,
            cert: reader.array()?,
            shard: reader.u32()?,
            seq: reader.u32()?,
            created_hour: reader.u32()?,
            signed_prekey: reader.array()?,
            inbox: reader.array()?,
            kem_key: Box::new(reader.array()?),
        };
        let signature: [u8; SIGNATURE_BYTES] = reader.array()?;
        let signed = plaintext.get(..BUNDLE_BYTES.saturating_sub(SIGNATURE_BYTES))?;
        Some((bundle, signed, signature))
    }

    /// The 1,520 bytes.
    pub(crate) fn sign(&self, identity: &Identity) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BUNDLE_BYTES);
        for part in [&self.device.account, &self.device.signing, &self.device.agreement] {
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(&self.list.version.to_le_bytes());
        bytes.extend_from_slice(&self.list.head);
        bytes.extend_from_slice(&self.cert);
        for number in [self.shard, self.seq, self.created_hour] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.signed_prekey);
        bytes.extend_from_slice(&self.inbox);
        bytes.extend_from_slice(self.kem_key.as_slice());
        let signature = identity.sign(&[label!("bundle"), &bytes]);
        bytes.extend_from_slice(&signature);
        bytes
    }
}

/// The tag under which the bundles of an address are found in a week (`epoch_hour` / 168).
pub fn bundle_tag(addr: &[u8; 32], week: u32) -> Tag {
    Tag(*keyed_blake3(addr, &[label!("bundle tag"), &week.to_le_bytes()]).as_bytes())
}

/// The weeks whose tags a reader takes from its pool: two back, for a bundle is usable for two weeks, and one
/// ahead, for clocks differ.
pub fn weeks_to_read(now_hour: u32) -> impl Iterator<Item = u32> {
    let week = week_of(now_hour);
    week.saturating_sub(2)..=week.saturating_add(1)
}

pub(super) const fn week_of(epoch_hour: u32) -> u32 {
    epoch_hour / HOURS_PER_WEEK
}

/// `key 32 | nonce 12` of a bundle's envelope with this raw E.
pub(crate) fn bundle_key(addr: &[u8; 32], ephemeral: &[u8; 32]) -> Secret<44> {
    keyed_blake3(addr, &[label!("bundle key"), ephemeral])
}

/// Entry point for a fuzzer: no plaintext makes the parser misbehave.
#[doc(hidden)]
pub fn fuzz_bundle(data: &[u8]) {
    if let Some((bundle, signed, _)) = Bundle::parse(data) {
        assert!(signed.ends_with(bundle.kem_key.as_slice()), "fields are where they belong");
    }
}
