//! The post-quantum ratchet: ML-KEM-768 beside the double ratchet, in its padding. SPEC: B8.
//!
//! For epoch k = 1, 2, .. one side, the requester, sends an encapsulation key; the other, the replier, answers with a
//! ciphertext; then the requester mixes the shared secret into its next sending step and names k in the headers of
//! that chain. The sides take turns. A record stands in every message that has room until it is answered, always the
//! same bytes, so loss, repetition and disorder cost a repetition and nothing else.
//!
//! All randomness is drawn when a message is sealed, none when one is opened: the replier keeps the key and
//! encapsulates to it with its next message, which is the first that could carry the answer. To the peer that is the
//! same as doing it at once, and a session that is only received on never does it.

use serde::{Deserialize, Serialize};

use crate::primitives::bytes::boxed_array;
use crate::primitives::hash::sha256;
use crate::primitives::kem::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, KemSecret, encapsulate, is_valid_key};
use crate::primitives::label;
use crate::primitives::secret::Secret;
use crate::record::KemRecord;

use super::Role;

/// Messages of a session, sealed and opened, from the beginning of an epoch until the next may be asked for.
pub const EPOCH_MESSAGES: u32 = 16;
/// Milliseconds from the beginning of an epoch until the next may be asked for: a day.
pub const EPOCH_MS: u64 = 24 * 3_600_000;
/// Own messages in a row in which the record found no room, until it deserves one of its own.
pub const CROWDED_OUT_MAX: u32 = 50;
/// Milliseconds without room for the record until it deserves a message of its own: 7 days.
pub const CROWDED_OUT_MS: u64 = 7 * 24 * 3_600_000;

/// How far the next epoch has come.
#[derive(Serialize, Deserialize)]
enum Stage {
    /// Nothing has been said of it. Requester: Idle, replier: Wait.
    Idle,
    /// Requester: the key was made and stands in every message.
    Asked {
        /// dk_k, with ek_k in it.
        secret: KemSecret,
    },
    /// Requester: the answer is here, to be mixed into the next sending step.
    Ready {
        /// pq_k.
        mixed_in: Secret<32>,
    },
    /// Replier: the key came, and passed its check.
    Told {
        /// ek_k.
        #[serde(with = "boxed_array")]
        key: Box<[u8; KEM_PUBLIC_BYTES]>,
    },
    /// Replier: the answer stands in every message, until a receiving step names the epoch.
    Pending {
        /// pq_k.
        mixed_in: Secret<32>,
        /// ct_k.
        #[serde(with = "boxed_array")]
        ciphertext: Box<[u8; KEM_CIPHERTEXT_BYTES]>,
    },
}

/// The ratchet's state in one session.
#[derive(Serialize, Deserialize)]
pub(super) struct PostQuantum {
    role: Role,
    /// pq_epoch: the last epoch mixed in here; 0 before the first.
    epoch: u32,
    /// When that was; before the first, when the session was made. Ms since 1970.
    since_unix_ms: u64,
    /// Messages sealed and opened since.
    messages: u32,
    stage: Stage,
    /// Own messages since the record last stood in one, or came to be.
    crowded_out: u32,
    /// When that was, ms since 1970.
    seen_off_unix_ms: u64,
}

impl PostQuantum {
    pub(super) const fn new(role: Role, now_unix_ms: u64) -> Self {
        Self {
            role,
            epoch: 0,
            since_unix_ms: now_unix_ms,
            messages: 0,
            stage: Stage::Idle,
            crowded_out: 0,
            seen_off_unix_ms: now_unix_ms,
        }
    }

    /// pq_epoch.
    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// k; none once the numbers are used up.
    const fn next(&self) -> Option<u32> {
        self.epoch.checked_add(1)
    }

    /// Whether this side asks for the next epoch: the initiator for the odd ones.
    const fn is_requester(&self) -> bool {
        // The next epoch is odd exactly if this one is even.
        self.epoch.is_multiple_of(2) == matches!(self.role, Role::Initiator)
    }

    /// Whether the requester asks with its next message.
    const fn is_due(&self, now_unix_ms: u64) -> bool {
        let is_old = now_unix_ms.saturating_sub(self.since_unix_ms) >= EPOCH_MS;
        let is_idle = matches!(self.stage, Stage::Idle);
        is_idle && self.is_requester() && self.next().is_some() && (self.messages >= EPOCH_MESSAGES || is_old)
    }

    /// What the next sending step mixes in, with its epoch.
    pub(super) const fn to_send(&self) -> Option<(u32, &Secret<32>)> {
        match (&self.stage, self.next()) {
            (Stage::Ready { mixed_in }, Some(epoch)) => Some((epoch, mixed_in)),
            _ => None,
        }
    }

    /// What a receiving step mixes in whose header names `epoch`: nothing for 0. `None`: the message is refused, as
    /// that epoch is not pending.
    pub(super) fn to_receive(&self, epoch: u32) -> Option<Option<&Secret<32>>> {
        match &self.stage {
            _ if epoch == 0 => Some(None),
            Stage::Pending { mixed_in, .. } if self.next() == Some(epoch) => Some(Some(mixed_in)),
            _ => None,
        }
    }

    /// `epoch` was mixed into a step: all of its secrets are erased.
    pub(super) fn mixed(&mut self, epoch: u32, now_unix_ms: u64) {
        *self = Self { epoch, ..Self::new(self.role, now_unix_ms) };
    }

    fn enter(&mut self, stage: Stage, now_unix_ms: u64) {
        (self.stage, self.crowded_out, self.seen_off_unix_ms) = (stage, 0, now_unix_ms);
    }

    /// Before a message is sealed: asks if the time has come, answers if the peer has asked. Draws 64 bytes for the
    /// one, 32 for the other, else none.
    pub(super) fn prepare(&mut self, sid: &Secret<32>, now_unix_ms: u64, rng: &mut impl rand_core::CryptoRng) {
        if self.is_due(now_unix_ms) {
            let (secret, _) = KemSecret::generate(rng);
            self.enter(Stage::Asked { secret }, now_unix_ms);
        } else if let (Stage::Told { key }, Some(epoch)) = (&self.stage, self.next()) {
            let (ciphertext, shared) = encapsulate(key, &Secret::generate(rng));
            let mixed_in = mixed_in(sid, epoch, key, &ciphertext, &shared);
            self.enter(Stage::Pending { mixed_in, ciphertext: Box::new(ciphertext) }, now_unix_ms);
        }
    }

    /// What stands in every message that has room for it.
    pub(super) fn record(&self) -> Option<KemRecord<'_>> {
        let epoch = self.next()?;
        match &self.stage {
            Stage::Asked { secret } => Some(KemRecord::Key { epoch, key: secret.public() }),
            Stage::Pending { ciphertext, .. } => Some(KemRecord::Ciphertext { epoch, ciphertext }),
            Stage::Idle | Stage::Ready { .. } | Stage::Told { .. } => None,
        }
    }

    /// Bytes of the record that the next message carries if it has room.
    pub(super) const fn record_bytes(&self, now_unix_ms: u64) -> usize {
        match &self.stage {
            Stage::Asked { .. } => KemRecord::KEY_BYTES,
            Stage::Told { .. } | Stage::Pending { .. } => KemRecord::CIPHERTEXT_BYTES,
            Stage::Idle if self.is_due(now_unix_ms) => KemRecord::KEY_BYTES,
            Stage::Idle | Stage::Ready { .. } => 0,
        }
    }

    /// A message was sealed; if the record stands in it, at that time.
    pub(super) const fn sealed(&mut self, rode_unix_ms: Option<u64>) {
        self.messages = self.messages.saturating_add(1);
        match rode_unix_ms {
            Some(unix_ms) => (self.crowded_out, self.seen_off_unix_ms) = (0, unix_ms),
            None => self.crowded_out = self.crowded_out.saturating_add(1),
        }
    }

    /// A message was opened, in which the peer's ratchet said `records`.
    pub(super) fn opened(&mut self, records: &[KemRecord<'_>], sid: &Secret<32>, now_unix_ms: u64) {
        self.messages = self.messages.saturating_add(1);
        records.iter().for_each(|record| self.take(record, sid, now_unix_ms));
    }

    /// Records of another epoch, repeated ones and keys that fail the check of FIPS 203 change nothing.
    fn take(&mut self, record: &KemRecord<'_>, sid: &Secret<32>, now_unix_ms: u64) {
        let next = self.next();
        match (record, &self.stage) {
            (KemRecord::Key { epoch, key }, Stage::Idle)
                if Some(*epoch) == next && !self.is_requester() && is_valid_key(key) =>
            {
                self.enter(Stage::Told { key: Box::new(**key) }, now_unix_ms);
            }
            (KemRecord::Ciphertext { epoch, ciphertext }, Stage::Asked { secret }) if Some(*epoch) == next => {
                let shared = secret.decapsulate(ciphertext);
                let mixed_in = mixed_in(sid, *epoch, secret.public(), ciphertext, &shared);
                self.enter(Stage::Ready { mixed_in }, now_unix_ms);
            }
            _ => {}
        }
    }

    /// Whether the record deserves a message of its own: 50 own messages had no room for it, or those of 7 days.
    /// While nothing is written at all nothing is overdue.
    pub(super) const fn is_overdue(&self, now_unix_ms: u64) -> bool {
        let has_record = matches!(self.stage, Stage::Asked { .. } | Stage::Pending { .. });
        let is_old = now_unix_ms.saturating_sub(self.seen_off_unix_ms) >= CROWDED_OUT_MS;
        has_record && (self.crowded_out >= CROWDED_OUT_MAX || (is_old && self.crowded_out > 0))
    }
}

/// pq = H(L("pq") || sid || k 4 || H(ek_k) || H(ct_k) || ss).
pub(crate) fn mixed_in(
    sid: &Secret<32>,
    epoch: u32,
    key: &[u8; KEM_PUBLIC_BYTES],
    ciphertext: &[u8; KEM_CIPHERTEXT_BYTES],
    shared: &Secret<32>,
) -> Secret<32> {
    let (key, ciphertext) = (sha256(&[key]), sha256(&[ciphertext]));
    let parts: [&[u8]; 6] = [label!("pq"), sid.as_bytes(), &epoch.to_le_bytes(), &key, &ciphertext, shared.as_bytes()];
    Secret::new(sha256(&parts))
}

#[cfg(test)]
mod tests;
