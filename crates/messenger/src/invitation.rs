//! Invites made here, invites used here, and people who wrote without one. SPEC: B5, B11.9, B16.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starling_e2ee::prekey::OneTimePrekey;

use crate::contact::{PinnedDevice, clean_name};
use crate::content::Content;
use crate::turn::{ContactNumber, InviteNumber, RequestNumber};
use crate::view::{InviteState, InviteView, RequestView};

/// Invites that are open at a time.
pub(crate) const INVITES_OPEN_MAX: usize = 256;
/// Invites that are remembered; beyond it the oldest that is not open goes.
pub(crate) const INVITES_MAX: usize = 1_024;
/// How long after its expiry an invite's key still opens a first contact that was made in time.
pub(crate) const INVITE_KEY_GRACE_MS: u64 = 28 * 24 * 3_600_000;
/// Invites used here that are remembered; beyond it the oldest goes.
pub(crate) const USED_INVITES_MAX: usize = 4_096;
/// People in the requests box; beyond it the oldest goes.
pub(crate) const REQUESTS_MAX: usize = 100;
/// Messages of one of them that are kept until they are accepted.
pub(crate) const REQUEST_MESSAGES_MAX: usize = 16;
/// Bytes of their contents from which on no more are kept: with the one that reaches it, far below
/// [`crate::record::RECORD_BYTES_MAX`].
const REQUEST_CONTENT_BYTES_MAX: usize = 32_768;
/// Bytes of the first text that are shown before they are accepted.
const REQUEST_PREVIEW_BYTES_MAX: usize = 2_000;

/// An invite made here, as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OwnInvite {
    /// What people see.
    pub(crate) number: InviteNumber,
    /// For whom.
    pub(crate) label: Option<String>,
    /// `starling:...`
    pub(crate) link: String,
    /// Bytes of it.
    pub(crate) bytes: u32,
    /// When it expires, ms since 1970.
    pub(crate) expires_unix_ms: u64,
    /// State.
    pub(crate) state: InviteState,
    /// Its key, until it is used, revoked, or past its grace.
    pub(crate) key: Option<OneTimePrekey>,
}

impl OwnInvite {
    /// What people see.
    pub(crate) fn view(&self) -> InviteView {
        InviteView {
            number: self.number,
            label: self.label.clone(),
            link: self.link.clone(),
            bytes: self.bytes,
            expires_unix_ms: self.expires_unix_ms,
            state: self.state,
        }
    }
}

/// An invite that this node used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsedInvite {
    /// Account and one-time key id name an invite.
    pub(crate) account: [u8; 32],
    /// The one-time key's id.
    pub(crate) key_id: u64,
    /// When, ms since 1970.
    pub(crate) used_unix_ms: u64,
}

/// Somebody who wrote without an invite, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Local number.
    pub(crate) number: RequestNumber,
    /// Their account.
    pub(crate) account: [u8; 32],
    /// Their device.
    pub(crate) pinned: PinnedDevice,
    /// The name they give to themselves.
    pub(crate) name: String,
    /// When it came, ms since 1970.
    pub(crate) received_unix_ms: u64,
    /// Their address and shard, once their card came.
    pub(crate) card: Option<([u8; 32], u32)>,
    /// Message id, content and time of arrival of what they wrote, to be taken up when they are accepted.
    pub(crate) messages: Vec<([u8; 16], Vec<u8>, u64)>,
    /// Their first text, cut to what a preview needs.
    pub(crate) text: Option<String>,
}

impl Request {
    /// Whether no more of their messages are kept.
    pub(crate) fn is_full(&self) -> bool {
        let bytes: usize = self.messages.iter().map(|(_, content, _)| content.len()).sum();
        self.messages.len() >= REQUEST_MESSAGES_MAX || bytes >= REQUEST_CONTENT_BYTES_MAX
    }

    /// Keeps a content, unless it is known or no more are kept. What people see of it is taken over.
    pub(crate) fn keep(&mut self, message_id: [u8; 16], bytes: Vec<u8>, unix_ms: u64) {
        let known = self.messages.iter().any(|(id, ..)| *id == message_id);
        if known || self.is_full() {
            return;
        }
        match Content::decode(&bytes) {
            Ok(Content::Hello(hello)) => self.name = clean_name(&hello.name),
            Ok(Content::Text(text)) if self.text.is_none() => self.text = Some(preview(text.text)),
            Ok(Content::File(file)) if self.text.is_none() && !file.text.is_empty() => {
                self.text = Some(preview(file.text));
            }
            Ok(_) | Err(_) => {}
        }
        self.messages.push((message_id, bytes, unix_ms));
    }

    /// What people see.
    pub(crate) fn view(&self) -> RequestView {
        RequestView {
            number: self.number,
            name: self.name.clone(),
            account: self.account,
            text: self.text.clone(),
            received_unix_ms: self.received_unix_ms,
        }
    }
}

fn preview(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REQUEST_PREVIEW_BYTES_MAX));
    text
}

/// The box of invites and requests.
#[derive(Default)]
pub(crate) struct Invitations {
    /// Made here.
    pub(crate) own: BTreeMap<InviteNumber, OwnInvite>,
    /// Used here.
    pub(crate) used: BTreeMap<([u8; 32], u64), UsedInvite>,
    /// Waiting for an answer.
    pub(crate) requests: BTreeMap<RequestNumber, Request>,
}

impl Invitations {
    /// The invite whose key has this id and still opens.
    pub(crate) fn by_key(&self, key_id: u64) -> Option<&OwnInvite> {
        self.own.values().find(|invite| invite.key.as_ref().is_some_and(|key| key.id() == key_id))
    }

    /// Open invites.
    pub(crate) fn open(&self) -> usize {
        self.own.values().filter(|invite| invite.state == InviteState::Open).count()
    }

    /// Makes room for one more invite; the number of the one that went.
    pub(crate) fn make_room(&mut self) -> Option<InviteNumber> {
        if self.own.len() < INVITES_MAX {
            return None;
        }
        let oldest = self.own.values().find(|invite| invite.state != InviteState::Open)?.number;
        self.own.remove(&oldest);
        Some(oldest)
    }

    /// Invites whose time is over at `unix_ms`, and those whose key is to be erased.
    pub(crate) fn expire(&mut self, unix_ms: u64) -> (Vec<InviteNumber>, Vec<InviteNumber>) {
        let (mut expired, mut erased) = (Vec::new(), Vec::new());
        for invite in self.own.values_mut() {
            if invite.state == InviteState::Open && invite.expires_unix_ms <= unix_ms {
                invite.state = InviteState::Expired;
                expired.push(invite.number);
            }
            let over = invite.expires_unix_ms.saturating_add(INVITE_KEY_GRACE_MS) <= unix_ms;
            if over && invite.key.take().is_some() {
                erased.push(invite.number);
            }
        }
        (expired, erased)
    }

    /// Remembers an invite that was used here; the one that had to go for it.
    pub(crate) fn remember_used(&mut self, used: UsedInvite) -> Option<([u8; 32], u64)> {
        self.used.insert((used.account, used.key_id), used);
        if self.used.len() <= USED_INVITES_MAX {
            return None;
        }
        let oldest = self.used.values().min_by_key(|used| used.used_unix_ms).map(|used| (used.account, used.key_id))?;
        self.used.remove(&oldest);
        Some(oldest)
    }

    /// The request of this account.
    pub(crate) fn request_of(&self, account: &[u8; 32]) -> Option<RequestNumber> {
        self.requests.values().find(|request| request.account == *account).map(|request| request.number)
    }

    /// The request that has to go when one more comes.
    pub(crate) fn crowded_out(&self) -> Option<RequestNumber> {
        (self.requests.len() >= REQUESTS_MAX).then(|| self.requests.keys().next().copied()).flatten()
    }
}

/// Who a session belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Owner {
    /// A contact.
    Contact(ContactNumber),
    /// Somebody in the requests box.
    Request(RequestNumber),
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use starling_e2ee::identity::Identity;
    use starling_e2ee::seal::Class;

    use super::*;
    use crate::content::Text;
    use crate::record::{RECORD_BYTES_MAX, encode_record};

    #[test]
    fn a_stranger_s_largest_messages_stay_far_below_a_record_s_limit() {
        let identity = Identity::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let device = identity.public();
        let mut request = Request {
            number: RequestNumber(1),
            account: device.account,
            pinned: PinnedDevice { device, list: identity.list_head() },
            name: String::new(),
            received_unix_ms: 0,
            card: Some(([1; 32], 1)),
            messages: Vec::new(),
            text: None,
        };
        let text = "é".repeat(Class::Large.room_bytes() / 2 - 40);
        for number in 0..40 {
            let text = Text { sequence: 0, created_unix_ms: 0, reply_to: None, expires_s: 0, text: text.clone() };
            request.keep([number; 16], text.encode(), 0);
        }
        assert_eq!((request.messages.len(), request.is_full()), (3, true));
        assert_eq!(request.text.as_ref().map(String::len), Some(REQUEST_PREVIEW_BYTES_MAX));
        assert!((encode_record(&request).len() as u64) < RECORD_BYTES_MAX / 4);
    }
}
