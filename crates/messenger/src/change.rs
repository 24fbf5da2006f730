//! What changes a message after it was written: reactions, another wording, its end. SPEC.md, "Changes".
//!
//! Changes come in any order and more than once. A [`Change`] is therefore a state, not a step: joining two of them, or
//! one with a message, gives the same in whichever order it is done.

use serde::{Deserialize, Serialize};

use crate::view::{MessageBody, MessageView, Reaction};

/// Another wording of a text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wording {
    /// The highest counts; of two with one revision the later, then the greater text.
    pub revision: u32,
    /// When its writer says that it was written, ms since 1970.
    pub edited_unix_ms: u64,
    /// What the message says now.
    pub text: String,
}

impl std::fmt::Debug for Wording {
    /// Without the text: what people write does not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wording({})", self.revision)
    }
}

impl Wording {
    fn rank(&self) -> (u32, u64, &str) {
        (self.revision, self.edited_unix_ms, &self.text)
    }
}

/// All that is known to have changed about a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// At most one a side.
    pub reactions: Vec<Reaction>,
    /// Its newest wording.
    pub wording: Option<Wording>,
    /// It was deleted for both.
    pub deletes: bool,
}

impl Change {
    /// One side's reaction.
    pub(crate) fn reaction(own: bool, counter: u64, emoji: String) -> Self {
        Self { reactions: vec![Reaction { own, emoji, counter }], ..Self::default() }
    }

    /// Another wording.
    pub(crate) fn wording(wording: Wording) -> Self {
        Self { wording: Some(wording), ..Self::default() }
    }

    /// The end.
    pub fn deletion() -> Self {
        Self { deletes: true, ..Self::default() }
    }

    /// Takes in another change of the same message; whether that made a difference.
    pub(crate) fn join(&mut self, other: Self) -> bool {
        if self.deletes {
            return false;
        }
        if other.deletes {
            *self = Self::deletion();
            return true;
        }
        let mut differs = false;
        for reaction in other.reactions {
            differs |= react(&mut self.reactions, &reaction);
        }
        if let Some(wording) = other.wording
            && self.wording.as_ref().is_none_or(|known| known.rank() < wording.rank())
        {
            self.wording = Some(wording);
            differs = true;
        }
        differs
    }

    /// Changes a message; whether that made a difference. Nothing brings back what was deleted, and nothing but a text
    /// gets another wording.
    pub fn apply(&self, message: &mut MessageView) -> bool {
        if message.deleted {
            return false;
        }
        if self.deletes {
            message.body = MessageBody::Text(String::new());
            (message.edited_unix_ms, message.revision, message.reply_to) = (None, 0, None);
            message.reactions.clear();
            message.deleted = true;
            return true;
        }
        let mut differs = false;
        for reaction in &self.reactions {
            differs |= react(&mut message.reactions, reaction);
        }
        if let (Some(wording), MessageBody::Text(text)) = (&self.wording, &mut message.body) {
            let known = (message.revision, message.edited_unix_ms.unwrap_or(0), text.as_str());
            if known < wording.rank() {
                text.clone_from(&wording.text);
                (message.revision, message.edited_unix_ms) = (wording.revision, Some(wording.edited_unix_ms));
                differs = true;
            }
        }
        differs
    }

    /// Whether what the message said so far must not be readable anywhere once this has been done.
    pub fn forgets(&self) -> bool {
        self.deletes || self.wording.is_some()
    }

    /// Bytes of text in it.
    pub(crate) fn text_bytes(&self) -> usize {
        self.wording.as_ref().map_or(0, |wording| wording.text.len())
    }
}

/// Puts a reaction in the place of the same side's earlier one; whether it was later.
fn react(reactions: &mut Vec<Reaction>, reaction: &Reaction) -> bool {
    match reactions.iter_mut().find(|known| known.own == reaction.own) {
        // Of two with one number, which no honest side makes, the same one wins on both sides.
        Some(known) if (known.counter, &known.emoji) < (reaction.counter, &reaction.emoji) => {
            known.clone_from(reaction);
            true
        }
        Some(_) => false,
        None => {
            reactions.push(reaction.clone());
            reactions.sort_by_key(|reaction| !reaction.own);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{ContactNumber, MessageNumber};
    use crate::view::{DeliveryStage, DeliveryState};

    fn message(body: MessageBody) -> MessageView {
        let state = DeliveryState::new(DeliveryStage::Delivered, 0);
        MessageView {
            number: MessageNumber(1),
            contact: ContactNumber(1),
            own: false,
            sequence: 0,
            body,
            created_unix_ms: 0,
            received_unix_ms: None,
            reply_to: None,
            client_id: None,
            state,
            expires_s: 0,
            expires_unix_ms: None,
            edited_unix_ms: None,
            revision: 0,
            deleted: false,
            reactions: Vec::new(),
        }
    }

    fn edit(revision: u32, text: &str) -> Change {
        Change::wording(Wording { revision, edited_unix_ms: 5, text: text.into() })
    }

    fn reaction(own: bool, counter: u64, emoji: &str) -> Change {
        Change::reaction(own, counter, emoji.into())
    }

    /// All orders of `changes`.
    fn orders(changes: &[Change]) -> Vec<Vec<Change>> {
        let Some((first, rest)) = changes.split_first() else { return vec![Vec::new()] };
        let shorter = orders(rest).into_iter();
        shorter
            .flat_map(|order| {
                (0..=order.len()).map(move |place| {
                    let mut longer = order.clone();
                    longer.insert(place, first.clone());
                    longer
                })
            })
            .collect()
    }

    #[test]
    fn the_same_comes_out_in_whatever_order_and_however_often_changes_come() {
        let all = [
            edit(1, "b"),
            edit(2, "c"),
            edit(2, "d"),
            reaction(false, 3, "👍"),
            reaction(false, 4, ""),
            reaction(true, 9, "❤️"),
        ];
        for order in orders(&all) {
            let mut shown = message(MessageBody::Text("a".into()));
            let mut joined = Change::default();
            for change in order.iter().chain(&order) {
                change.apply(&mut shown);
                joined.join(change.clone());
            }
            let mut at_once = message(MessageBody::Text("a".into()));
            joined.apply(&mut at_once);
            assert_eq!(shown, at_once);
            assert_eq!((shown.body, shown.revision), (MessageBody::Text("d".into()), 2));
            let reactions: Vec<_> = at_once.shown_reactions().map(|shown| (shown.own, shown.emoji.as_str())).collect();
            assert_eq!(reactions, [(true, "❤️")], "theirs was taken back, though that came before it");
            assert_eq!(at_once.reactions.len(), 2);
        }
    }

    #[test]
    fn nothing_brings_back_what_was_deleted() {
        for order in orders(&[Change::deletion(), edit(7, "back"), reaction(false, 1, "👍")]) {
            let mut shown = message(MessageBody::Text("secret".into()));
            let mut joined = Change::default();
            for change in order {
                change.apply(&mut shown);
                joined.join(change);
            }
            assert_eq!(joined, Change::deletion());
            assert!(shown.deleted && shown.edited_unix_ms.is_none() && shown.reactions.is_empty());
            assert_eq!(shown.body, MessageBody::Text(String::new()));
        }
    }

    #[test]
    fn what_needs_a_newer_version_gets_no_wording_from_this_one() {
        let mut unknown = message(MessageBody::Unknown { kind: 9, bytes: vec![1] });
        assert!(!edit(1, "x").apply(&mut unknown));
        assert!(reaction(true, 1, "👍").apply(&mut unknown));
        assert!(Change::deletion().apply(&mut unknown));
        assert_eq!(unknown.body, MessageBody::Text(String::new()));
    }
}
