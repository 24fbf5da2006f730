//! Contents that need more room than an envelope has: sent in parts, and put together again. SPEC.md, "Parts".
//!
//! Each part is an item of the outbox of its own: sealed, pushed, confirmed and sealed again like any other. The text or
//! change that they are parts of, their head, lies beside them and is never sealed itself; its state is that of the part
//! that is furthest behind. The parts' numbers follow that of their head.

use std::ops::Range;

use rand_core::CryptoRng;
use starling_e2ee::record::{CONTENT_HEAD_BYTES, RECORD_HEAD_BYTES};
use starling_e2ee::seal;
use starling_relay::pool::EnvelopePool;

use crate::invitation::Request;
use crate::messenger::Messenger;
use crate::outbox::{Item, Load, Part};
use crate::post::PostId;
use crate::reassembly::{Added, PartRecord, confirmed_as};
use crate::seen::SeenKey;
use crate::stored::Dirty;
use crate::turn::ContactNumber;
use crate::view::{DeliveryStage, DeliveryState, PartsState, QueuedReason};

/// Bytes of content that an envelope carries.
pub(crate) const fn part_bytes(class: seal::Class) -> usize {
    class.room_bytes() - RECORD_HEAD_BYTES - CONTENT_HEAD_BYTES
}

/// The most small envelopes that cost less than a large one: stamps and room are eight times those of a small one.
const SMALL_PARTS_MAX: usize = 7;

/// A piece of a content: how large its envelope is, and which bytes it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Class of the envelope.
    pub(crate) class: seal::Class,
    /// Its bytes of the content.
    pub(crate) range: Range<usize>,
}

/// The pieces in which a content goes, always at least one: in large envelopes as long as small ones would cost as
/// much or more.
pub(crate) fn pieces(content_bytes: usize) -> Vec<Piece> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    loop {
        let left = content_bytes - start;
        let small = left.div_ceil(part_bytes(seal::Class::Small)) <= SMALL_PARTS_MAX;
        let class = if small { seal::Class::Small } else { seal::Class::Large };
        let end = content_bytes.min(start + part_bytes(class));
        pieces.push(Piece { class, range: start..end });
        start = end;
        if start == content_bytes {
            return pieces;
        }
    }
}

/// Envelopes that a content of so many bytes needs.
pub(crate) fn parts_for(content_bytes: usize) -> u8 {
    u8::try_from(pieces(content_bytes).len()).unwrap_or(u8::MAX)
}

/// The parts of `head`, each waiting to be sealed, which is in the state `state`.
pub(crate) fn parts_of(head: &Item, state: DeliveryState) -> Vec<Item> {
    let of = head.parts;
    let part = |part: u8| {
        let load = Load::Part(Box::new(Part { head: head.number, part, of, state }));
        Item::new(head.number + 1 + u64::from(part), head.contact, head.message_id, load)
    };
    if of > 1 { (0..of).map(part).collect() } else { Vec::new() }
}

impl<P: EnvelopePool> Messenger<P> {
    /// Puts a text or a change in line, in as many parts as its content needs.
    pub(crate) fn queue_item(&mut self, mut item: Item) {
        item.parts = parts_for(self.content_of(&item).len());
        let state = DeliveryState {
            reason: Some(self.reason_to_wait(item.contact)),
            ..DeliveryState::new(DeliveryStage::Queued, self.now.unix_ms)
        };
        for part in parts_of(&item, state) {
            let number = self.count_message();
            debug_assert_eq!(number.0, part.number, "nothing was counted in between");
            self.mark(Dirty::Outbox(part.number));
            self.outbox.insert(part);
        }
        self.mark(Dirty::Outbox(item.number));
        self.outbox.insert(item);
        self.pump_due = true;
    }

    /// The recipient has a part; with the last one it has all.
    pub(crate) fn part_arrived(&mut self, number: u64, head: u64) {
        self.forget_way(PostId::Item(number));
        self.outbox.settle(number);
        self.mark(Dirty::Outbox(number));
        if self.outbox.parts_of(head).all(Item::is_settled) {
            self.finish(head, DeliveryStage::Delivered);
        } else {
            self.show_state(number);
        }
    }

    /// Brings the state of a text up to that of its parts; whether it changed. States never go back.
    pub(crate) fn gather_state(&mut self, head: u64) -> bool {
        let states: Vec<DeliveryState> = self.outbox.parts_of(head).filter_map(Item::part_state).collect();
        let parts = self.parts_state(head);
        let (unix_ms, neighbours) = (self.now.unix_ms, u32::try_from(self.carrier.links.len()).unwrap_or(u32::MAX));
        let Some(view) = self.outbox.get_mut(head).and_then(Item::view_mut) else { return false };
        let shown = view.state;
        let is_over = states.iter().any(|state| state.stage == DeliveryStage::Expired);
        let least = states.iter().map(|state| state.stage).min().unwrap_or(shown.stage);
        let stage = if is_over { DeliveryStage::Expired } else { least };
        if stage > shown.stage {
            (view.state.stage, view.state.since_unix_ms) = (stage, unix_ms);
        }
        let waits = states.iter().rev().find(|state| state.stage == DeliveryStage::Queued);
        let reason = waits.map(|state| state.reason.unwrap_or(QueuedReason::Stamping));
        view.state.reason = reason.filter(|_| view.state.stage == DeliveryStage::Queued);
        let under_way = || states.iter().filter(|state| state.stage < DeliveryStage::Delivered);
        view.state.held_by = under_way().map(|state| state.held_by).min().unwrap_or(shown.held_by);
        view.state.until_unix_ms = under_way().map(|state| state.until_unix_ms).min().unwrap_or(shown.until_unix_ms);
        view.state.attempts = states.iter().map(|state| state.attempts).max().unwrap_or(0).max(shown.attempts);
        (view.state.neighbours, view.state.parts) = (neighbours, parts);
        let differs = view.state != shown;
        if differs {
            self.mark(Dirty::Outbox(head));
        }
        differs
    }

    /// How far the parts of a content came.
    pub(crate) fn parts_state(&self, head: u64) -> Option<PartsState> {
        let mut parts = PartsState { of: 0, stamped: 0, held: 0, delivered: 0 };
        for item in self.outbox.parts_of(head) {
            let stage = item.part_state()?.stage;
            let has_stamp = item.post.as_ref().is_some_and(|post| post.id().is_some());
            parts.of += 1;
            parts.stamped += u8::from(has_stamp || stage > DeliveryStage::Queued);
            parts.held += u8::from(stage >= DeliveryStage::Held);
            parts.delivered += u8::from(stage == DeliveryStage::Delivered);
        }
        (parts.of > 0).then_some(parts)
    }

    /// A part came: stored and confirmed for itself, and with the last one the content is taken.
    pub(crate) fn take_part(
        &mut self,
        contact: ContactNumber,
        message_id: [u8; 16],
        (part, of): (u8, u8),
        bytes: Vec<u8>,
        rng: &mut impl CryptoRng,
    ) {
        let Some(account) = self.contacts.get(contact).map(|contact| contact.account) else { return };
        let key = (account, message_id);
        let confirmed = confirmed_as(&message_id, part, of);
        if self.seen.contains(&key) {
            return self.owe_receipt(contact, confirmed, rng);
        }
        let unix_ms = self.now.unix_ms;
        match self.reassembly.add(PartRecord { key, part, of, bytes, unix_ms }) {
            Added::Refused => return,
            Added::Kept => self.mark(Dirty::Part(key, part)),
            Added::Whole => {
                let bytes = self.take_parts(key);
                self.take_new_content(contact, key, &bytes);
            }
        }
        self.owe_receipt(contact, confirmed, rng);
    }

    /// Whether so much of somebody who is not accepted is kept that nothing more of theirs is to be opened: it stays in
    /// the pool, sealed, and is found when they are accepted in time.
    pub(crate) fn is_crowded(&self, request: &Request) -> bool {
        request.is_full() || self.reassembly.is_crowded(&request.account)
    }

    /// A part from somebody who is not accepted yet is kept, and confirmed when they are.
    pub(crate) fn keep_part(&mut self, key: SeenKey, (part, of): (u8, u8), bytes: Vec<u8>) {
        let unix_ms = self.now.unix_ms;
        if self.reassembly.add(PartRecord { key, part, of, bytes, unix_ms }) != Added::Refused {
            self.mark(Dirty::Part(key, part));
        }
    }

    /// Somebody was accepted: what they wrote in parts is taken, and confirmed.
    pub(crate) fn adopt_parts(&mut self, contact: ContactNumber, account: [u8; 32], rng: &mut impl CryptoRng) {
        for (key, whole) in self.reassembly.of_account(&account) {
            let confirmed = self.reassembly.parts(&key).map(|part| confirmed_as(&key.1, part.part, part.of));
            for id in confirmed.collect::<Vec<_>>() {
                self.owe_receipt(contact, id, rng);
            }
            if whole {
                let bytes = self.take_parts(key);
                self.take_new_content(contact, key, &bytes);
            }
        }
    }

    /// Somebody was refused: nothing of theirs stays.
    pub(crate) fn drop_parts_of(&mut self, account: [u8; 32]) {
        for (key, _) in self.reassembly.of_account(&account) {
            self.take_parts(key);
        }
    }

    /// Takes out what there is of a content.
    pub(crate) fn take_parts(&mut self, key: SeenKey) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in self.reassembly.take(&key) {
            self.mark(Dirty::Part(key, record.part));
            bytes.extend(record.bytes);
        }
        bytes
    }

    /// Forgets contents whose last part did not come in time.
    pub(crate) fn expire_parts(&mut self) {
        for key in self.reassembly.over(self.now.unix_ms) {
            self.take_parts(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::CONTENT_BYTES_MAX;
    use crate::reassembly::PARTS_MAX;
    use starling_e2ee::seal::Class::{Large, Small};

    fn classes(content_bytes: usize) -> Vec<seal::Class> {
        pieces(content_bytes).into_iter().map(|piece| piece.class).collect()
    }

    #[test]
    fn pieces_cover_a_content_and_never_cost_more_than_small_ones_alone() {
        let cost = |piece: &Piece| if piece.class == Large { 8 } else { 1 };
        for bytes in (0..=CONTENT_BYTES_MAX as usize).step_by(7) {
            let pieces = pieces(bytes);
            let mut next = 0;
            for piece in &pieces {
                assert!(piece.range.start == next && piece.range.len() <= part_bytes(piece.class));
                next = piece.range.end;
            }
            assert!(next == bytes && pieces.len() <= usize::from(PARTS_MAX));
            let small = bytes.div_ceil(part_bytes(Small)).max(1);
            assert!(pieces.iter().map(cost).sum::<usize>() <= small, "{bytes}");
        }
    }

    #[test]
    fn a_file_of_full_size_goes_in_four_large_envelopes() {
        assert_eq!(classes(0), [Small]);
        assert_eq!(classes(1_869), [Small]);
        assert_eq!(classes(1_870), [Small; 2]);
        assert_eq!(classes(7 * 1_869), [Small; 7]);
        assert_eq!(classes(7 * 1_869 + 1), [Large]);
        assert_eq!(classes(16_205), [Large]);
        assert_eq!(classes(16_206), [Large, Small]);
        assert_eq!(classes(64_100), [Large; 4]);
        assert_eq!(classes(CONTENT_BYTES_MAX as usize), [Large, Large, Large, Large, Small]);
    }
}
