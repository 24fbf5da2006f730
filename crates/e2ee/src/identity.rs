//! Who a person and a device are: account key, device keys, and the account's signed list of devices.
//! SPEC: B3 (keys), B5 (cert), B6 (device list).
//!
//! An account is an Ed25519 key A. It signs nothing but lists of devices and one certificate for each device. A
//! device has an Ed25519 key S, which signs, and an X25519 key D, which agrees. There is a list also with a single
//! device, so that adding one later changes no format.

mod account;

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::primitives::bytes::{Reader, array};
use crate::primitives::hash::sha256;
use crate::primitives::label;
use crate::primitives::signature::{SIGNATURE_BYTES, SignatureKey, verify};
use crate::primitives::x25519::KeyPair;

pub use account::Account;

/// Devices in a list, at most.
pub const DEVICES_MAX: usize = 8;

/// The public keys of a device and of the account that certified it. Key of every table of peers: the same
/// device keys under another account are somebody else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DevicePublic {
    /// A, Ed25519.
    pub account: [u8; 32],
    /// S, Ed25519.
    pub signing: [u8; 32],
    /// D, X25519.
    pub agreement: [u8; 32],
}

impl fmt::Debug for DevicePublic {
    /// Says that there is one, not whose: who talks to whom does not belong in a log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DevicePublic").finish_non_exhaustive()
    }
}

/// Which state of an account's device list somebody speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListHead {
    /// Counts from 1; never goes back.
    pub version: u32,
    /// Hash of that version of the list.
    pub head: [u8; 32],
}

/// How an offered device list stands to the known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    /// The same list.
    Same,
    /// A later one.
    Newer,
    /// An earlier one: refused.
    Older,
    /// Another list under the same version: the account key has signed two histories. An alarm.
    Forked,
}

/// What raises the alarm of a forked device list: the account's own certificate over another head for the version
/// that is known. Nobody without the account key can make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The device that the other list certifies.
    pub device: DevicePublic,
    /// The other list.
    pub list: ListHead,
}

impl ListHead {
    /// How `offered` stands to this, the known list.
    pub fn compare(&self, offered: &Self) -> ListOrder {
        match offered.version.cmp(&self.version) {
            core::cmp::Ordering::Less => ListOrder::Older,
            core::cmp::Ordering::Greater => ListOrder::Newer,
            core::cmp::Ordering::Equal if offered.head == self.head => ListOrder::Same,
            core::cmp::Ordering::Equal => ListOrder::Forked,
        }
    }
}

/// One device in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedDevice {
    /// S.
    pub signing: [u8; 32],
    /// D.
    pub agreement: [u8; 32],
}

/// Why a device list is refused. All of these are the account's own doing, or a forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Cut off, too long, or with a count that is not 1 to [`DEVICES_MAX`].
    #[error("the device list is malformed")]
    Malformed,
    /// A device is in it twice.
    #[error("a device is listed twice")]
    Repeated,
    /// Not signed by the account.
    #[error("the device list is not signed by its account")]
    Signature,
    /// It does not continue the list that it was compared with.
    #[error("the device list does not continue the known one")]
    NotNext,
}

/// All devices of an account at one version, signed by the account and chained to the version before.
///
/// `version 4 | previous head 32 | count 1 | count * (S 32 | D 32) | sig 64`, at most 613 bytes. sig is the
/// account's over L("device list") and all before it; the head of a version is
/// H(L("list head") || A || all before sig); version 1 has a previous head of zeros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    version: u32,
    previous_head: [u8; 32],
    devices: Vec<ListedDevice>,
    #[serde(with = "array")]
    signature: [u8; SIGNATURE_BYTES],
}

impl DeviceList {
    /// The first list of `account`, with one device.
    fn first(account: &SignatureKey, device: ListedDevice) -> Self {
        let mut list =
            Self { version: 1, previous_head: [0; 32], devices: vec![device], signature: [0; SIGNATURE_BYTES] };
        list.signature = account.sign(&[label!("device list"), &list.signed_part()]);
        list
    }

    /// Reads a list and checks it against `account`: shape, no device twice, signature.
    pub fn decode(bytes: &[u8], account: &[u8; 32]) -> Result<Self, ListError> {
        let list = Self::parse(bytes).ok_or(ListError::Malformed)?;
        list.verify(account)?;
        Ok(list)
    }

    /// The list's bytes, as given in the type's description.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed_part();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// The devices, 1 to [`DEVICES_MAX`].
    pub fn devices(&self) -> &[ListedDevice] {
        &self.devices
    }

    /// Version and hash, which bundles and first contacts carry.
    pub fn head(&self, account: &[u8; 32]) -> ListHead {
        let head = sha256(&[label!("list head"), account, &self.signed_part()]);
        ListHead { version: self.version, head }
    }

    /// Checks everything that the list alone tells: shape, no device twice, the account's signature.
    pub fn verify(&self, account: &[u8; 32]) -> Result<(), ListError> {
        let first_is_first = (self.version == 1) == (self.previous_head == [0; 32]);
        if self.version == 0 || !first_is_first || !(1..=DEVICES_MAX).contains(&self.devices.len()) {
            return Err(ListError::Malformed);
        }
        let is_repeated =
            |(index, device): (usize, &ListedDevice)| self.devices.iter().take(index).any(|d| d == device);
        if self.devices.iter().enumerate().any(is_repeated) {
            return Err(ListError::Repeated);
        }
        verify(account, &[label!("device list"), &self.signed_part()], &self.signature)
            .then_some(())
            .ok_or(ListError::Signature)
    }

    /// Checks that this list is the version right after `known` and names it as its predecessor.
    pub fn continues(&self, known: &ListHead) -> Result<(), ListError> {
        let is_next = known.version.checked_add(1) == Some(self.version) && self.previous_head == known.head;
        is_next.then_some(()).ok_or(ListError::NotNext)
    }

    fn signed_part(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(613);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.previous_head);
        bytes.push(u8::try_from(self.devices.len()).unwrap_or(u8::MAX));
        for device in &self.devices {
            bytes.extend_from_slice(&device.signing);
            bytes.extend_from_slice(&device.agreement);
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let version = reader.u32()?;
        let previous_head = reader.array()?;
        let count = usize::from(reader.u8()?);
        if !(1..=DEVICES_MAX).contains(&count) {
            return None;
        }
        let mut devices = Vec::with_capacity(count);
        for _ in 0..count {
            devices.push(ListedDevice { signing: reader.array()?, agreement: reader.array()? });
        }
        let signature = reader.array()?;
        reader.is_empty().then_some(Self { version, previous_head, devices, signature })
    }
}

/// The secret keys of this installation: the account's and its one device's.
///
/// Encoded as `account seed 32 | signing seed 32 | agreement secret 32 | device list | cert 64`; reading it back
/// checks that list and certificate belong to the keys.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "IdentityRecord")]
pub struct Identity {
    account: SignatureKey,
    signing: SignatureKey,
    agreement: KeyPair,
    list: DeviceList,
    #[serde(with = "array")]
    cert: [u8; SIGNATURE_BYTES],
}

/// An [`Identity`] as it was stored.
#[derive(Deserialize)]
struct IdentityRecord {
    account: SignatureKey,
    signing: SignatureKey,
    agreement: KeyPair,
    list: DeviceList,
    #[serde(with = "array")]
    cert: [u8; SIGNATURE_BYTES],
}

impl TryFrom<IdentityRecord> for Identity {
    type Error = ListError;

    fn try_from(record: IdentityRecord) -> Result<Self, ListError> {
        let IdentityRecord { account, signing, agreement, list, cert } = record;
        let identity = Self { account, signing, agreement, list, cert };
        identity.list.verify(&identity.public().account)?;
        let holds = is_certified(&identity.public(), &identity.list_head(), &identity.cert);
        holds.then_some(identity).ok_or(ListError::Signature)
    }
}

impl Identity {
    /// A new account with one device. Draws 32 bytes each for A, S and D.
    pub fn generate(rng: &mut impl rand_core::CryptoRng) -> Self {
        let account = SignatureKey::generate(rng);
        let signing = SignatureKey::generate(rng);
        let agreement = KeyPair::generate(rng);
        let device = ListedDevice { signing: signing.public(), agreement: *agreement.public() };
        let list = DeviceList::first(&account, device);
        let public = DevicePublic { account: account.public(), signing: device.signing, agreement: device.agreement };
        let cert = account::certify(&account, &public, &list.head(&public.account));
        Self { account, signing, agreement, list, cert }
    }

    /// The public keys.
    pub fn public(&self) -> DevicePublic {
        DevicePublic {
            account: self.account.public(),
            signing: self.signing.public(),
            agreement: *self.agreement.public(),
        }
    }

    /// The account's devices.
    pub fn list(&self) -> &DeviceList {
        &self.list
    }

    /// Version and head of the device list.
    pub fn list_head(&self) -> ListHead {
        self.list.head(&self.account.public())
    }

    /// The account's certificate for this device.
    pub(crate) fn cert(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.cert
    }

    /// D.
    pub(crate) fn agreement(&self) -> &KeyPair {
        &self.agreement
    }

    /// Signs with S.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        self.signing.sign(parts)
    }
}

/// Whether `cert` is the account's over this device and this state of its list:
/// Ed25519(A, L("device") || S || D || list_version || list_head). No list has version 0.
pub(crate) fn is_certified(device: &DevicePublic, list: &ListHead, cert: &[u8; SIGNATURE_BYTES]) -> bool {
    let version = list.version.to_le_bytes();
    list.version != 0
        && verify(&device.account, &[label!("device"), &device.signing, &device.agreement, &version, &list.head], cert)
}

/// Entry point for a fuzzer: no list of `data`'s makes the decoder misbehave, and what parses encodes to itself.
#[doc(hidden)]
pub fn fuzz_device_list(data: &[u8]) {
    if let Some(list) = DeviceList::parse(data) {
        assert!(list.encode() == data, "encode is the inverse of parse");
        let _ = list.verify(&list.previous_head);
    }
}

#[cfg(test)]
mod tests;
