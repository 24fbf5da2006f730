//! What a test does to a world by its own hands.

use starling_messenger::conversation::arrange;
use starling_messenger::record::{HistoryRecord, RecordKind, decode_record};
use starling_messenger::turn::{Input, LinkId};
use starling_messenger::view::MessageBody;
use starling_relay::admit::Route;
use starling_wire::envelope::Envelope;

use super::event::{Event, Place};
use super::people::Act;
use super::world::{World, lines};

/// An island on which no other node is.
const ALONE: u64 = 1_000_000;
/// A link that no node has.
const NO_LINK: LinkId = LinkId(u64::MAX);

impl World {
    /// Virtual time.
    pub fn now_ms(&self) -> u64 {
        self.at_ms
    }

    /// Has a node make an invite; its text.
    ///
    /// # Panics
    /// When it makes none within ten seconds.
    pub fn invite_of(&mut self, place: usize) -> String {
        self.queue.put(self.at_ms, Event::Act { node: place, act: Act::Show });
        self.run_until(self.at_ms + 10_000);
        self.invites.remove(&place).expect("an invite within ten seconds")
    }

    /// Has a node use an invite.
    pub fn use_invite(&mut self, place: usize, link: &str) {
        self.queue.put(self.at_ms, Event::Act { node: place, act: Act::Add { link: link.to_owned() } });
    }

    /// Ends a node's process.
    pub fn switch_off(&mut self, place: usize) {
        self.crash(place, false);
    }

    /// Starts a node's process where nobody reaches it.
    pub fn switch_on_alone(&mut self, place: usize) {
        self.nodes[place].island = ALONE;
        self.start(place);
    }

    /// Gives a node one envelope, as if it came by reconciliation.
    ///
    /// # Panics
    /// When admission refuses it.
    pub fn hand_in(&mut self, place: usize, envelope: &Envelope) {
        let epoch = self.epoch_of(place);
        let checked = self.gate.check(envelope.as_bytes(), epoch, Route::Sync).expect("an envelope that is admitted");
        self.step(place, Input::Pulled { link: NO_LINK, envelopes: vec![checked] });
    }

    /// Messages of a node that left it, in the order in which they were sealed.
    pub fn sealed_by(&self, place: usize) -> Vec<Envelope> {
        self.checks.sealed_by(&self.nodes[place].name)
    }

    /// Texts that others wrote to a node, in the order in which its people see them, conversation after
    /// conversation.
    pub fn history_of(&self, place: Place) -> Vec<String> {
        let records = self.nodes[place].vault.iter().filter(|(key, _)| key.kind == RecordKind::History);
        let messages = records.filter_map(|(_, value)| decode_record::<HistoryRecord>(value).ok());
        let mut messages: Vec<_> = messages.map(|record| record.message).collect();
        arrange(&mut messages);
        let texts = messages.into_iter().filter(|message| !message.own).filter_map(|message| match message.body {
            MessageBody::Text(text) => Some(text),
            MessageBody::File(file) => Some(file.text),
            MessageBody::Unknown { .. } => None,
        });
        texts.collect()
    }

    /// # Panics
    /// When a rule was broken.
    pub fn assert_good(&self) {
        let violations = &self.checks.violations;
        assert!(violations.is_empty(), "{}", lines(violations));
    }
}
