//! The first contact's outer layer: who writes, hidden from everyone but the holder of the inbox key. SPEC: B5.
//!
//! Every node tries every envelope of its shard that it cannot place, so the way to "not for me" is short: one
//! agreement and one key derivation for each live inbox key, then a comparison of 16 bytes.

use subtle::ConstantTimeEq;

use crate::identity::{DevicePublic, ListHead};
use crate::prekey::InboxKey;
use crate::primitives::aead::OneTimeKey;
use crate::primitives::bytes::{Reader, array, boxed_array, concat};
use crate::primitives::hash::{hkdf, sha256};
use crate::primitives::kem::KEM_CIPHERTEXT_BYTES;
use crate::primitives::label;
use crate::primitives::secret::Secret;
use crate::primitives::signature::SIGNATURE_BYTES;
use crate::primitives::x25519::{PublicKey, agree, clear_top_bit};
use crate::seal::{AD0_BYTES, Class, Ephemeral, HEADER_BYTES, HeadPrefix, Parts, Tag, ad0};
use crate::session::SessionId;

/// Bytes of hs.
pub(crate) const HEAD_BYTES: usize = 1_401;
/// Bytes of the message's body in a first contact: 473 of records and the AEAD's tag.
const BODY_BYTES: usize = 489;
/// The only version of hs.
const HEAD_VERSION: u8 = 1;

/// hs of B5 but for `n`: all that the responder needs to follow the handshake. The same in every first contact of
/// a session.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Head {
    pub(crate) generation: u32,
    pub(crate) bundle_seq: u32,
    /// 0: none.
    pub(crate) one_time_id: u64,
    /// EK.
    pub(crate) ephemeral: [u8; 32],
    pub(crate) device: DevicePublic,
    pub(crate) list: ListHead,
    #[serde(with = "array")]
    pub(crate) cert: [u8; SIGNATURE_BYTES],
    #[serde(with = "boxed_array")]
    pub(crate) kem_ciphertext: Box<[u8; KEM_CIPHERTEXT_BYTES]>,
    /// sig_i.
    #[serde(with = "array")]
    pub(crate) signature: [u8; SIGNATURE_BYTES],
}

impl Head {
    /// `ver 1 | gen 4 | bundle_seq 4 | opk_id 8 | n 4 | EK 32 | A 32 | S 32 | D 32 | list_version 4 | list_head 32 |
    /// cert 64 | ct 1,088 | sig_i 64`.
    pub(crate) fn encode(&self, number: u32) -> [u8; HEAD_BYTES] {
        concat(&[
            &[HEAD_VERSION],
            &self.generation.to_le_bytes(),
            &self.bundle_seq.to_le_bytes(),
            &self.one_time_id.to_le_bytes(),
            &number.to_le_bytes(),
            &self.ephemeral,
            &self.device.account,
            &self.device.signing,
            &self.device.agreement,
            &self.list.version.to_le_bytes(),
            &self.list.head,
            &self.cert,
            self.kem_ciphertext.as_slice(),
            &self.signature,
        ])
    }

    /// Head and n.
    fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<(Self, u32)> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != HEAD_VERSION {
            return None;
        }
        let (generation, bundle_seq, one_time_id) = (reader.u32()?, reader.u32()?, reader.u64()?);
        let number = reader.u32()?;
        let ephemeral = reader.array()?;
        let device = DevicePublic { account: reader.array()?, signing: reader.array()?, agreement: reader.array()? };
        let list = ListHead { version: reader.u32()?, head: reader.array()? };
        let cert = reader.array()?;
        let kem_ciphertext = Box::new(reader.array()?);
        let signature = reader.array()?;
        let head =
            Self { generation, bundle_seq, one_time_id, ephemeral, device, list, cert, kem_ciphertext, signature };
        Some((head, number))
    }
}

/// A first contact of which the outer layer has been opened: what it claims, nothing of it checked yet.
pub struct OuterFirstContact {
    head: Head,
    number: u32,
    /// AD0 || hs: what the message's header is bound to.
    associated_data: Vec<u8>,
    header: [u8; HEADER_BYTES],
    body: Vec<u8>,
}

impl OuterFirstContact {
    /// Who claims to write.
    pub const fn device(&self) -> &DevicePublic {
        &self.head.device
    }

    /// The device list for which the writer claims to speak.
    pub const fn list(&self) -> &ListHead {
        &self.head.list
    }

    /// Generation of the session it asks for.
    pub const fn generation(&self) -> u32 {
        self.head.generation
    }

    /// The invite's prekey that it names.
    pub const fn one_time_id(&self) -> Option<u64> {
        match self.head.one_time_id {
            0 => None,
            id => Some(id),
        }
    }

    /// The bundle of ours that it was made with.
    pub const fn bundle_seq(&self) -> u32 {
        self.head.bundle_seq
    }

    /// Number of its message in the initiator's first chain.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The hour in which its envelope is dated, UTC hours since 1970: bytes 6 to 9 of the envelope.
    pub fn epoch_hour(&self) -> u32 {
        self.associated_data.get(6..10).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    /// The session that it asks for or repeats.
    pub const fn session_id(&self) -> SessionId {
        SessionId(self.head.ephemeral)
    }

    /// H(EK || ct), by which a replay or a repetition is recognised while the bundle's private halves exist.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[&self.head.ephemeral, self.head.kem_ciphertext.as_slice()])
    }

    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn associated_data(&self) -> &[u8] {
        &self.associated_data
    }

    pub(crate) const fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    fn decode(ad0: &[u8; AD0_BYTES], plaintext: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(plaintext);
        let head_bytes: [u8; HEAD_BYTES] = reader.array()?;
        let header = reader.array()?;
        let body = reader.rest();
        if body.len() != BODY_BYTES {
            return None;
        }
        let (head, number) = Head::decode(&head_bytes)?;
        let associated_data = [ad0.as_slice(), &head_bytes].concat();
        Some(Self { head, number, associated_data, header, body: body.to_vec() })
    }
}

/// Tries an envelope that no session claims against the live inbox keys of this device. `None`: not for us. That is
/// the case for nearly every envelope, and takes at most 65 us a key.
pub fn recognise<'k>(
    inbox_keys: impl IntoIterator<Item = &'k InboxKey>,
    parts: &Parts<'_>,
) -> Option<OuterFirstContact> {
    if Class::of_body(parts.body.len()) != Some(Class::Small) {
        return None;
    }
    let ephemeral = PublicKey::new(&parts.ephemeral);
    let key = inbox_keys.into_iter().find_map(|inbox| {
        let shared = ephemeral.agree(inbox.keys.secret())?;
        let (tag, key) = outer_keys(&parts.ephemeral, inbox.keys.public(), &shared);
        bool::from(tag.0.ct_eq(&parts.tag.0)).then_some(key)
    })?;
    let ad0 = parts.ad0();
    let plaintext = key.open(&ad0, parts.body)?;
    OuterFirstContact::decode(&ad0, &plaintext)
}

/// The outer layer being written: tag and AD0 are known before what is inside, which is bound to them.
pub(crate) struct OuterSeal {
    pub(crate) tag: Tag,
    pub(crate) ad0: [u8; AD0_BYTES],
    key: OneTimeKey,
}

/// Prepares the outer layer towards the inbox key `inbox`; `None` if that is of small order.
pub(crate) fn seal_outer(prefix: &HeadPrefix, inbox: &[u8; 32], ephemeral: &Ephemeral) -> Option<OuterSeal> {
    let shared = agree(ephemeral.secret(), inbox)?;
    let (tag, key) = outer_keys(ephemeral.public_raw(), inbox, &shared);
    Some(OuterSeal { tag, ad0: ad0(prefix, &tag, ephemeral.public_raw()), key })
}

impl OuterSeal {
    /// Encrypts `plaintext` (hs, header and body) into the envelope's body.
    pub(crate) fn finish(self, mut plaintext: Vec<u8>) -> Vec<u8> {
        self.key.seal(&self.ad0, &mut plaintext, 0);
        plaintext
    }
}

/// vt, key and nonce of B5.
fn outer_keys(ephemeral_raw: &[u8; 32], inbox: &[u8; 32], shared: &Secret<32>) -> (Tag, OneTimeKey) {
    let salt: [u8; 64] = concat(&[&clear_top_bit(*ephemeral_raw), inbox]);
    let material: Secret<60> = hkdf(&salt, &[shared.as_bytes()], label!("first"));
    let mut reader = Reader::new(material.as_bytes());
    let tag = Tag(reader.array().unwrap_or([0; 16]));
    (tag, OneTimeKey::new(&Secret::new(reader.array().unwrap_or([0; 44]))))
}

/// Entry point for a fuzzer: a plaintext of the outer layer either does not decode or encodes to itself.
#[doc(hidden)]
pub fn fuzz_first_contact(data: &[u8]) {
    if let Some(outer) = OuterFirstContact::decode(&[0; AD0_BYTES], data) {
        assert!(data.starts_with(&outer.head.encode(outer.number)), "encode is the inverse of decode");
    }
}
