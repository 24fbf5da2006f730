//! What the person has read and muted, and that they chose to do without a passphrase: the daemon's own record in the
//! vault, one for an account. Nobody else learns of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starling_messenger::record::{RecordKind, VaultKey, VaultWrite};
use starling_messenger::turn::{ContactNumber, MessageNumber};
use starling_wire::codec;
use zeroize::Zeroizing;

/// Name of the record.
const PREFERENCES: &str = "preferences 1";
/// Conversations of which something is remembered: more than there can be contacts. The oldest contact's goes first.
const MARKS_MAX: usize = 4_096;
/// Bytes of the record: every mark, and room.
const RECORD_BYTES_MAX: u64 = 128 * 1024;

/// What is remembered of a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The newest message that was read.
    pub(crate) read_up_to: Option<MessageNumber>,
    /// New messages raise no notification.
    pub(crate) muted: bool,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preferences {
    /// To do without a passphrase was a choice.
    pub(crate) no_passphrase_accepted: bool,
    marks: BTreeMap<ContactNumber, Mark>,
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preference {
    /// Read up to this message.
    Read(ContactNumber, MessageNumber),
    /// Notifications off, or on.
    Muted(ContactNumber, bool),
    /// To do without a passphrase is a choice, or not one any more.
    NoPassphrase(bool),
}

impl Preferences {
    /// Where the record lies.
    pub(crate) fn key() -> VaultKey {
        VaultKey::named(RecordKind::Node, PREFERENCES)
    }

    /// From the record's bytes; one that cannot be read is an empty one.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        codec::decode(bytes, RECORD_BYTES_MAX).unwrap_or_else(|error| {
            tracing::error!(%error, "what was read and muted is lost");
            Self::default()
        })
    }

    /// The write that keeps it.
    pub(crate) fn write(&self) -> Option<VaultWrite> {
        let value = codec::encode(self, RECORD_BYTES_MAX).ok()?;
        Some(VaultWrite::Put { key: Self::key(), value: Zeroizing::new(value) })
    }

    /// What is remembered of the conversation with `contact`.
    pub(crate) fn mark(&self, contact: ContactNumber) -> Mark {
        self.marks.get(&contact).copied().unwrap_or_default()
    }

    /// Makes a change. The conversation of which something else is known now, if any; `None` when nothing changed.
    pub(crate) fn apply(&mut self, change: Preference) -> Option<Option<ContactNumber>> {
        let (contact, mark) = match change {
            Preference::Read(contact, up_to) => {
                let mark = self.mark(contact);
                (contact, Mark { read_up_to: mark.read_up_to.max(Some(up_to)), ..mark })
            }
            Preference::Muted(contact, muted) => (contact, Mark { muted, ..self.mark(contact) }),
            Preference::NoPassphrase(accepted) => {
                let changed = self.no_passphrase_accepted != accepted;
                self.no_passphrase_accepted = accepted;
                return changed.then_some(None);
            }
        };
        if self.mark(contact) == mark {
            return None;
        }
        self.marks.insert(contact, mark);
        while self.marks.len() > MARKS_MAX {
            self.marks.pop_first();
        }
        Some(Some(contact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: ContactNumber = ContactNumber(1);

    #[test]
    fn what_was_read_never_goes_back() {
        let mut preferences = Preferences::default();
        assert_eq!(preferences.apply(Preference::Read(ANA, MessageNumber(7))), Some(Some(ANA)));
        assert_eq!(preferences.apply(Preference::Read(ANA, MessageNumber(3))), None);
        assert_eq!(preferences.apply(Preference::Muted(ANA, true)), Some(Some(ANA)));
        assert_eq!(preferences.mark(ANA), Mark { read_up_to: Some(MessageNumber(7)), muted: true });
        assert_eq!(preferences.apply(Preference::NoPassphrase(true)), Some(None));
        let Some(VaultWrite::Put { value, .. }) = preferences.write() else { panic!("it fits") };
        assert_eq!(Preferences::decode(&value), preferences);
        assert_eq!(Preferences::decode(b"?"), Preferences::default());
    }

    #[test]
    fn so_many_conversations_and_no_more() {
        let mut preferences = Preferences::default();
        for number in 0..5_000 {
            preferences.apply(Preference::Read(ContactNumber(number), MessageNumber(u64::MAX)));
        }
        assert!(preferences.write().is_some());
        assert_eq!(preferences.mark(ContactNumber(0)), Mark::default());
        assert_eq!(preferences.mark(ContactNumber(4_999)).read_up_to, Some(MessageNumber(u64::MAX)));
    }
}
