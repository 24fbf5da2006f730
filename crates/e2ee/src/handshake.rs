//! From two devices' keys to a session: X25519 four times, ML-KEM-768 once, and the initiator's signature.
//! SPEC: B3, B5, B11 steps 7 to 9.
//!
//! The shape is PQXDH's. What is added: the initiator signs the transcript, for without it whoever once stole a
//! signed prekey's private half could pose to its owner as anybody for 29 days, and take over healed sessions by
//! claiming the next generation.

mod first_contact;
mod schedule;

use crate::identity::{DevicePublic, Fork, Identity, ListHead, ListOrder, is_certified};
use crate::prekey::{Bundle, OneTimePrekey, OwnBundle, Prekeys};
use crate::primitives::kem;
use crate::primitives::label;
use crate::primitives::secret::Secret;
use crate::primitives::signature::{SIGNATURE_BYTES, verify};
use crate::primitives::x25519::{KeyPair, PublicKey};
use crate::record::Record;
use crate::session::{Session, SkippedKey};

pub(crate) use first_contact::{Head, seal_outer};
pub use first_contact::{OuterFirstContact, fuzz_first_contact, recognise};
pub(crate) use schedule::{Agreements, Roots, Transcript};

/// Generation of a fresh contact.
pub const FIRST_GENERATION: u32 = 1;
/// By how much an offered generation may exceed the highest known.
pub const GENERATION_JUMP_MAX: u32 = 16;

/// The bundle's keys do not serve for a handshake: one of them is of small order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer's bundle has an unusable key")]
pub struct UnusableBundle;

/// Why a first contact is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// It does not open, names keys that are gone, or is not from whom it claims. Nothing more is told.
    #[error("the first contact does not open")]
    Rejected,
    /// The account has certified two device lists of one version: its key may be in other hands.
    #[error("two device lists of one version carry the account's signature")]
    ForkedList(Box<Fork>),
}

/// An accepted first contact.
pub struct Accepted {
    /// The new session; its message has been opened. [`Session::watched`] gives the tags to watch from now on.
    pub session: Session,
    /// What the message says.
    pub records: Vec<Record>,
    /// Keys of the numbers before it, held by the session and to be stored beside it.
    pub skipped_added: Vec<SkippedKey>,
    /// The device list that the initiator speaks for.
    pub list: ListHead,
}

/// Makes a session towards the device of `bundle`. What is sealed on it first must be a first contact.
///
/// `one_time` is id and public key of the invite's prekey, unless it was used already. `generation` is
/// [`FIRST_GENERATION`], or one more than the highest known. Draws 32 bytes for EK, then 32 for the KEM.
pub fn initiate(
    identity: &Identity,
    bundle: &Bundle,
    one_time: Option<(u64, &[u8; 32])>,
    generation: u32,
    network: &[u8; 32],
    now_unix_ms: u64,
    rng: &mut impl rand_core::CryptoRng,
) -> Result<Session, UnusableBundle> {
    let ephemeral = KeyPair::generate(rng);
    let (kem_ciphertext, kem_shared) = kem::encapsulate(&bundle.kem_key, &Secret::generate(rng));
    let device = identity.public();
    let transcript = Transcript {
        network,
        generation,
        initiator: &device,
        responder: &bundle.device,
        signed_prekey: &bundle.signed_prekey,
        one_time: one_time.map(|(_, public)| public),
        kem_key: &bundle.kem_key,
        ephemeral: ephemeral.public(),
        kem_ciphertext: &kem_ciphertext,
    };
    let hash = transcript.hash();
    let signed_prekey = PublicKey::new(&bundle.signed_prekey);
    let one_time_public = one_time.map(|(_, public)| public);
    let agreements =
        Agreements::of_initiator(identity.agreement(), &ephemeral, &bundle.device, &signed_prekey, one_time_public)
            .ok_or(UnusableBundle)?;
    let head = Head {
        generation,
        bundle_seq: bundle.seq,
        one_time_id: one_time.map_or(0, |(id, _)| id),
        ephemeral: *ephemeral.public(),
        device,
        list: identity.list_head(),
        cert: *identity.cert(),
        kem_ciphertext: Box::new(kem_ciphertext),
        signature: identity.sign(&[label!("init"), &hash]),
    };
    Ok(Session::of_initiator(agreements.roots(&hash, &kem_shared), head, bundle, signed_prekey, now_unix_ms))
}

/// Makes the session that `outer` asks for and opens its message, or leaves no trace.
///
/// Call it for a first contact whose [`OuterFirstContact::digest`] is not known (a known one goes to
/// [`Session::open_repeated`]) and whose generation the caller allows ([`generation_allowed`]). `one_time` is the
/// live prekey with [`OuterFirstContact::one_time_id`], if it names one; `known_list` the initiator's device list as
/// known so far. On success the caller remembers the digest until the bundle is erased, and erases the one-time
/// prekey, in the commit that stores the session.
pub fn accept(
    identity: &Identity,
    prekeys: &Prekeys,
    one_time: Option<&OneTimePrekey>,
    outer: &OuterFirstContact,
    known_list: Option<&ListHead>,
    network: &[u8; 32],
    now_unix_ms: u64,
) -> Result<Accepted, AcceptError> {
    let head = outer.head();
    check_initiator(head, &identity.public(), known_list)?;
    let bundle = prekeys.bundle(head.bundle_seq).ok_or(AcceptError::Rejected)?;
    let named = (head.one_time_id != 0).then_some(head.one_time_id);
    if one_time.map(OneTimePrekey::id) != named {
        return Err(AcceptError::Rejected);
    }
    let session = respond(identity, bundle, one_time, head, network, now_unix_ms).ok_or(AcceptError::Rejected)?;
    open_first(session, outer, now_unix_ms)
}

/// The message in `outer` must open, else there is no session.
fn open_first(mut session: Session, outer: &OuterFirstContact, now_unix_ms: u64) -> Result<Accepted, AcceptError> {
    let opened = session.open_first_contact(outer, now_unix_ms).map_err(|_| AcceptError::Rejected)?;
    let list = outer.head().list;
    Ok(Accepted { session, records: opened.records, skipped_added: opened.skipped_added, list })
}

/// The certificate, then the device list, so that a fork is only ever said of what the account signed.
fn check_initiator(head: &Head, own: &DevicePublic, known_list: Option<&ListHead>) -> Result<(), AcceptError> {
    if head.device == *own || !is_certified(&head.device, &head.list, &head.cert) {
        return Err(AcceptError::Rejected);
    }
    match known_list.map(|known| known.compare(&head.list)) {
        Some(ListOrder::Forked) => {
            Err(AcceptError::ForkedList(Box::new(Fork { device: head.device, list: head.list })))
        }
        Some(ListOrder::Older) => Err(AcceptError::Rejected),
        None | Some(ListOrder::Same | ListOrder::Newer) => Ok(()),
    }
}

/// The responder's side of B3.
fn respond(
    identity: &Identity,
    bundle: &OwnBundle,
    one_time: Option<&OneTimePrekey>,
    head: &Head,
    network: &[u8; 32],
    now_unix_ms: u64,
) -> Option<Session> {
    let transcript = Transcript {
        network,
        generation: head.generation,
        initiator: &head.device,
        responder: &identity.public(),
        signed_prekey: bundle.signed_prekey.public(),
        one_time: one_time.map(OneTimePrekey::public),
        kem_key: &bundle.kem_key,
        ephemeral: &head.ephemeral,
        kem_ciphertext: &head.kem_ciphertext,
    };
    let hash = transcript.hash();
    is_signed(&head.device, &hash, &head.signature).then_some(())?;
    let one_time_keys = one_time.map(OneTimePrekey::keys);
    let agreements = Agreements::of_responder(identity.agreement(), &bundle.signed_prekey, one_time_keys, head)?;
    let kem_shared = bundle.kem_secret.decapsulate(&head.kem_ciphertext);
    let roots = agreements.roots(&hash, &kem_shared);
    Some(Session::of_responder(roots, head, bundle.signed_prekey.secret(), now_unix_ms))
}

/// sig_i of B3.
fn is_signed(initiator: &DevicePublic, transcript_hash: &[u8; 32], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    verify(&initiator.signing, &[label!("init"), transcript_hash], signature)
}

/// Whether a first contact of generation `offered` may be accepted from a device whose highest known generation is
/// `highest_known` (none: a stranger). Lower ones may: crossing and late first contacts are honest, and the rank
/// decides which session is sent on.
pub fn generation_allowed(highest_known: Option<u32>, offered: u32) -> bool {
    offered >= FIRST_GENERATION && offered <= highest_known.unwrap_or(0).saturating_add(GENERATION_JUMP_MAX)
}

#[cfg(test)]
pub(crate) mod tests;
