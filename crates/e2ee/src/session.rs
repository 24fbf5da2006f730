//! A session: the double ratchet between two devices, with header keys that also derive one-use tags.
//! SPEC: B4, B5, B8, B10, B11.
//!
//! The shape is the double ratchet with header encryption. What is special: a message's tag is derived from its
//! chain's header key and its number, so that one look-up finds the session, the chain and the number of one's own
//! mail among everybody's, and work is only done for what carries a tag that the peer alone could know.
//!
//! A session is plain data. Whoever calls stores it with the results of each call, atomically; skipped message keys
//! are records of their own, as they are many and change one by one. Nothing changes when a call fails.

pub(crate) mod chain;
mod choice;
mod open;
pub(crate) mod post_quantum;
mod skipped;
mod tags;

use core::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::handshake::{Head, Roots, seal_outer};
use crate::identity::DevicePublic;
use crate::prekey::{Bundle, FIRST_CONTACT_HOURS};
use crate::primitives::secret::Secret;
use crate::primitives::x25519::{PublicKey, generate_and_agree};
use crate::record::{self, Record, RecordError};
use crate::seal::{Class, Ephemeral, HeadPrefix, Sealed, ad0};

use chain::{Header, ReceivingChain, SendingChain};
use post_quantum::PostQuantum;
use skipped::SkippedKeys;
use tags::Windows;

pub use chain::fuzz_header;
pub use choice::{RECOVERY_AFTER_S, RECOVERY_INTERVAL_S, Rank, RecoverySigns, recovery_due};
pub use open::Opened;
pub use post_quantum::{CROWDED_OUT_MAX, CROWDED_OUT_MS, EPOCH_MESSAGES, EPOCH_MS};
pub use skipped::{SKIPPED_LIFETIME_S, SKIPPED_MAX, SkippedKey};
pub use tags::{Position, TagIndex, WINDOW};

/// Bytes of records that a first contact carries.
pub const FIRST_CONTACT_ROOM_BYTES: usize = 473;
/// Messages in a chain of which none has been acknowledged, at most. The receiver derives no further.
pub const UNACKNOWLEDGED_MAX: u32 = 255;
/// Milliseconds from its last message until a session that is not the best-ranked one is erased: 29 days.
pub const RECEIVE_ONLY_LIFETIME_MS: u64 = 29 * 24 * 3_600 * 1_000;

/// A session's name: the initiator's handshake key EK.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 32]);

impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(formatter, "SessionId({:08x}..)", u32::from_be_bytes([a, b, c, d]))
    }
}

/// Which of a session's own sending chains, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChainId(pub u32);

/// Who began a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// This device.
    Initiator,
    /// The peer.
    Responder,
}

/// A sealed message, and where in the ratchet it stands. (session, chain, number) is sealed at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedMessage {
    /// For the envelope.
    pub sealed: Sealed,
    /// The sending chain.
    pub chain: ChainId,
    /// The number in it.
    pub number: u32,
}

/// Why nothing was sealed. The session is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The records do not fit or are not well formed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// [`UNACKNOWLEDGED_MAX`] messages of the chain wait for an acknowledgement.
    #[error("{UNACKNOWLEDGED_MAX} messages of the chain are not acknowledged")]
    ChainFull,
    /// First contacts are for initiators before the first reply.
    #[error("the session is past its first contact")]
    NotFirstContact,
    /// A key of the peer's is of small order.
    #[error("the peer's key is unusable")]
    UnusableKey,
}

/// What an initiator keeps until the first reply, to repeat the handshake in every first contact.
#[derive(Serialize, Deserialize)]
struct FirstContact {
    head: Head,
    /// INB of the bundle.
    inbox: [u8; 32],
    /// Creation of the bundle.
    bundle_created_hour: u32,
}

/// One ratchet between this device and a peer's. Encoded by serde without its skipped keys, which are records of
/// their own ([`Self::restore_skipped`]).
#[derive(Serialize, Deserialize)]
pub struct Session {
    id: SessionId,
    role: Role,
    generation: u32,
    peer: DevicePublic,
    /// sid.
    session_salt: Secret<32>,
    /// RK.
    root: Secret<32>,
    /// The private half of the last key sent; gone once the peer has answered it. Absent means that the next message
    /// begins a new chain (need_step of B3).
    own_dh: Option<Secret<32>>,
    /// The last key received. Zeros for a responder before its first message.
    peer_dh: PublicKey,
    sending: Option<SendingChain>,
    /// NHKs.
    next_sending_header: Secret<32>,
    /// Sending chains begun.
    chains_sent: u32,
    /// Highest number of the sending chain known to have arrived.
    acked_number: Option<u32>,
    receiving: Option<ReceivingChain>,
    /// NHKr.
    next_receiving_header: Secret<32>,
    /// Receiving chains begun.
    chains_received: u32,
    post_quantum: PostQuantum,
    first_contact: Option<FirstContact>,
    created_unix_ms: u64,
    last_received_unix_ms: u64,
    #[serde(skip)]
    skipped: SkippedKeys,
    /// Tags watched, derived from the keys when the caller first asks for them.
    #[serde(skip)]
    windows: OnceLock<Windows>,
}

/// A sending chain with what beginning it changes in the session.
struct Begun {
    chain: SendingChain,
    root: Secret<32>,
    own_dh: Secret<32>,
    next_header: Secret<32>,
}

impl Session {
    pub(crate) fn of_initiator(
        roots: Roots,
        head: Head,
        bundle: &Bundle,
        signed_prekey: PublicKey,
        now_unix_ms: u64,
    ) -> Self {
        let Roots { root, initiator_header, responder_header, session_salt } = roots;
        Self {
            id: SessionId(head.ephemeral),
            role: Role::Initiator,
            generation: head.generation,
            peer: bundle.device,
            session_salt,
            root,
            own_dh: None,
            peer_dh: signed_prekey,
            sending: None,
            next_sending_header: initiator_header,
            chains_sent: 0,
            acked_number: None,
            receiving: None,
            next_receiving_header: responder_header,
            chains_received: 0,
            post_quantum: PostQuantum::new(Role::Initiator, now_unix_ms),
            first_contact: Some(FirstContact { head, inbox: bundle.inbox, bundle_created_hour: bundle.created_hour }),
            created_unix_ms: now_unix_ms,
            last_received_unix_ms: now_unix_ms,
            skipped: SkippedKeys::default(),
            windows: OnceLock::new(),
        }
    }

    pub(crate) fn of_responder(roots: Roots, head: &Head, signed_prekey: &Secret<32>, now_unix_ms: u64) -> Self {
        let Roots { root, initiator_header, responder_header, session_salt } = roots;
        Self {
            id: SessionId(head.ephemeral),
            role: Role::Responder,
            generation: head.generation,
            peer: head.device,
            session_salt,
            root,
            own_dh: Some(signed_prekey.clone()),
            peer_dh: PublicKey::new(&[0; 32]),
            sending: None,
            next_sending_header: responder_header,
            chains_sent: 0,
            acked_number: None,
            receiving: None,
            next_receiving_header: initiator_header,
            chains_received: 0,
            post_quantum: PostQuantum::new(Role::Responder, now_unix_ms),
            first_contact: None,
            created_unix_ms: now_unix_ms,
            last_received_unix_ms: now_unix_ms,
            skipped: SkippedKeys::default(),
            windows: OnceLock::new(),
        }
    }

    /// The session's name.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Who began it.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The device on the other side.
    pub const fn peer(&self) -> &DevicePublic {
        &self.peer
    }

    /// gen: how many handshakes the pair had needed.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Of all sessions with a device, only the one of the highest rank is sent on.
    pub fn rank(&self) -> Rank {
        Rank::new(self.generation, self.id)
    }

    /// When the handshake was made or accepted here, ms since 1970.
    pub const fn created_unix_ms(&self) -> u64 {
        self.created_unix_ms
    }

    /// When the last message was opened here, ms since 1970; the creation if there was none.
    pub const fn last_received_unix_ms(&self) -> u64 {
        self.last_received_unix_ms
    }

    /// Whether this session, if it is not the best-ranked one, has served its time.
    pub const fn receive_only_is_over(&self, now_unix_ms: u64) -> bool {
        self.last_received_unix_ms.saturating_add(RECEIVE_ONLY_LIFETIME_MS) <= now_unix_ms
    }

    /// Whether the peer has not answered yet: every message should then be a first contact, as the peer may not
    /// know the session.
    pub const fn first_contact_pending(&self) -> bool {
        self.first_contact.is_some()
    }

    /// The hour from which on this session's handshake must not be repeated, because the peer may have erased the
    /// bundle that it names before it is opened; `None` when there is nothing to repeat.
    pub fn handshake_ends_hour(&self) -> Option<u32> {
        Some(self.first_contact.as_ref()?.bundle_created_hour.saturating_add(FIRST_CONTACT_HOURS))
    }

    /// Whether the handshake that is repeated until the first reply names the one-time key of an invite.
    pub fn names_one_time_key(&self) -> bool {
        self.first_contact.as_ref().is_some_and(|first_contact| first_contact.head.one_time_id != 0)
    }

    /// Whether a message can be sealed now.
    pub fn can_send(&self) -> bool {
        self.needs_step() || self.sending.as_ref().is_some_and(|chain| self.has_room(chain))
    }

    /// Whether the chain is full: only an acknowledgement, a reply, or a new handshake helps.
    pub fn chain_exhausted(&self) -> bool {
        !self.can_send()
    }

    /// Says that a message sealed under (`chain`, `number`) has arrived. An acknowledgement names a message, not an
    /// envelope, so of several sealings of one message only the very first may be given here, and only if it was on
    /// this session: that one's chain and number are what its acknowledgement proves at the least.
    pub fn note_acked(&mut self, chain: ChainId, number: u32) {
        let is_current = self.chains_sent.checked_sub(1) == Some(chain.0);
        let was_sent = self.sending.as_ref().is_some_and(|sending| number < sending.next_number);
        if is_current && was_sent && self.acked_number.is_none_or(|acked| acked < number) {
            self.acked_number = Some(number);
        }
    }

    /// The last post-quantum epoch mixed in here; 0 before the first.
    pub const fn post_quantum_epoch(&self) -> u32 {
        self.post_quantum.epoch()
    }

    /// Bytes that the post-quantum ratchet would use in the next ordinary message beside the records of whoever calls.
    /// It takes no more than they leave; without so many it waits for a message that has them.
    pub const fn post_quantum_bytes(&self, now_unix_ms: u64) -> usize {
        self.post_quantum.record_bytes(now_unix_ms)
    }

    /// Whether the post-quantum ratchet has found no room for so long ([`CROWDED_OUT_MAX`], [`CROWDED_OUT_MS`]) that a
    /// message without records should be sealed for it alone.
    pub const fn post_quantum_overdue(&self, now_unix_ms: u64) -> bool {
        self.first_contact.is_none() && self.post_quantum.is_overdue(now_unix_ms)
    }

    /// Seals `records` as an ordinary message, and beside them what the post-quantum ratchet has to say, if they leave
    /// it room. Draws 32 bytes if it begins a new chain; then 64 if that ratchet asks for an epoch, 32 if it answers.
    pub fn seal(
        &mut self,
        class: Class,
        prefix: &HeadPrefix,
        records: &[Record],
        ephemeral: &Ephemeral,
        now_unix_ms: u64,
        rng: &mut impl rand_core::CryptoRng,
    ) -> Result<SealedMessage, SealError> {
        record::room_left(records, class.room_bytes())?;
        let begun = self.begin_chain(self.post_quantum.to_send(), rng)?;
        self.sendable(begun.as_ref())?;
        // Nothing fails from here on, so the session may change.
        if let Some(epoch) = begun.as_ref().map(|begun| begun.chain.header.epoch).filter(|epoch| *epoch != 0) {
            self.post_quantum.mixed(epoch, now_unix_ms);
        }
        self.post_quantum.prepare(&self.session_salt, now_unix_ms, rng);
        let chain = self.sendable(begun.as_ref())?;
        let tag = chain.tag();
        let ad0 = ad0(prefix, &tag, ephemeral.public_raw());
        let mut body = Vec::with_capacity(class.body_bytes());
        let records = (records, self.post_quantum.record());
        let rides = chain::seal_message(chain, &self.session_salt, &ad0, records, class.room_bytes(), &mut body)?;
        self.post_quantum.sealed(rides.then_some(now_unix_ms));
        let (chain, number) = self.advance_sending(begun);
        Ok(SealedMessage { sealed: Sealed { tag, ephemeral: *ephemeral.public_raw(), body }, chain, number })
    }

    /// Seals `records` (at most [`FIRST_CONTACT_ROOM_BYTES`]) as a first contact, which brings the handshake along. Only
    /// while [`Self::first_contact_pending`]. Draws 32 bytes if it begins a new chain.
    pub fn seal_first_contact(
        &mut self,
        prefix: &HeadPrefix,
        records: &[Record],
        ephemeral: &Ephemeral,
        rng: &mut impl rand_core::CryptoRng,
    ) -> Result<SealedMessage, SealError> {
        let FirstContact { head, inbox, .. } = self.first_contact.as_ref().ok_or(SealError::NotFirstContact)?;
        let outer = seal_outer(prefix, inbox, ephemeral).ok_or(SealError::UnusableKey)?;
        // Nothing was answered yet, so there is no post-quantum epoch to mix in; nor has its record room here.
        let begun = self.begin_chain(None, rng)?;
        let chain = self.sendable(begun.as_ref())?;
        let head = head.encode(chain.next_number);
        let mut plaintext = Vec::with_capacity(Class::Small.body_bytes());
        plaintext.extend_from_slice(&head);
        let associated_data = [outer.ad0.as_slice(), &head].concat();
        let room_bytes = FIRST_CONTACT_ROOM_BYTES;
        let records = (records, None);
        chain::seal_message(chain, &self.session_salt, &associated_data, records, room_bytes, &mut plaintext)?;
        let tag = outer.tag;
        let body = outer.finish(plaintext);
        self.post_quantum.sealed(None);
        let (chain, number) = self.advance_sending(begun);
        Ok(SealedMessage { sealed: Sealed { tag, ephemeral: *ephemeral.public_raw(), body }, chain, number })
    }

    /// need_step of B3.
    pub(crate) const fn needs_step(&self) -> bool {
        self.own_dh.is_none()
    }

    /// Ns <= acked_n + 255.
    fn has_room(&self, chain: &SendingChain) -> bool {
        let first_unacknowledged = self.acked_number.map_or(0, |number| number.saturating_add(1));
        chain.next_number < first_unacknowledged.saturating_add(UNACKNOWLEDGED_MAX)
    }

    /// The sending step of B4, made only when a message needs it, and kept only when that message is sealed. `mixing`:
    /// the post-quantum epoch that is ready, and its secret.
    fn begin_chain(
        &self,
        mixing: Option<(u32, &Secret<32>)>,
        rng: &mut impl rand_core::CryptoRng,
    ) -> Result<Option<Begun>, SealError> {
        if !self.needs_step() {
            return Ok(None);
        }
        let (own, shared) = generate_and_agree(rng, &self.peer_dh).ok_or(SealError::UnusableKey)?;
        let epoch = mixing.map_or(0, |(epoch, _)| epoch);
        let step = chain::step(&self.root, &shared, epoch, mixing.map(|(_, secret)| secret));
        let previous_length = self.sending.as_ref().map_or(0, |chain| chain.next_number);
        let header = Header { dh: *own.public(), previous_length, epoch };
        let chain = SendingChain {
            header_key: self.next_sending_header.clone(),
            chain_key: step.chain_key,
            next_number: 0,
            header,
        };
        let own_dh = own.secret().clone();
        Ok(Some(Begun { chain, root: step.root, own_dh, next_header: step.next_header }))
    }

    /// The chain on which the next message goes.
    fn sendable<'a>(&'a self, begun: Option<&'a Begun>) -> Result<&'a SendingChain, SealError> {
        match (begun, &self.sending) {
            (Some(begun), _) => Ok(&begun.chain),
            (None, Some(chain)) if self.has_room(chain) => Ok(chain),
            (None, _) => Err(SealError::ChainFull),
        }
    }

    /// Keeps the chain that was begun, if one was, and moves past the message sealed.
    fn advance_sending(&mut self, begun: Option<Begun>) -> (ChainId, u32) {
        if let Some(Begun { chain, root, own_dh, next_header }) = begun {
            self.sending = Some(chain);
            self.root = root;
            self.own_dh = Some(own_dh);
            self.next_sending_header = next_header;
            self.acked_number = None;
            self.chains_sent = self.chains_sent.saturating_add(1);
        }
        let number = self.sending.as_mut().map_or(0, SendingChain::advance);
        (ChainId(self.chains_sent.saturating_sub(1)), number)
    }
}

#[cfg(test)]
mod tests;
