//! Worlds that are broken on purpose, one way each: a checker that does not notice is no checker.

use starling_messenger::record::{HistoryRecord, RecordKind, VaultKey, VaultWrite, decode_record, encode_record};
use starling_messenger::turn::{Output, RequestId, Turn};
use starling_messenger::view::{DeliveryStage, Event as Told};

use super::event::Place;
use super::world::World;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The disk loses a received message although it said that it has it.
    LoseHistory,
    /// The disk loses messages on their way although it said that it has them.
    LoseOutbox,
    /// People see a message twice.
    ShowTwice,
    /// A gossip message gets two verdicts.
    TwoVerdicts,
    /// A gossip message gets no verdict.
    NoVerdict,
    /// A node starts with ratchets that it has long gone on from.
    OldSessions,
    /// Outputs are released before their commit.
    EarlyRelease,
    /// A node hears nothing that its neighbours store.
    Deaf,
    /// A message that was delivered is shown as sent again.
    StateBack,
    /// A message's place among its sender's is stored wrongly.
    Disorder,
    /// Nothing may be in memory at all.
    TinyMemory,
    /// A push cell is answered twice.
    TwoAnswers,
    /// No push ever arrives.
    LosePushes,
    /// A node forgets at each start under which ids programs have sent.
    ForgetClientIds,
    /// The last byte of a record is lost.
    TornRecord,
    /// A disk loses what changes messages.
    LoseChanges,
    /// Nobody takes note of what contacts have read.
    LoseReads,
    /// What was delivered is shown as read.
    FalseRead,
    /// A verdict comes with a write.
    SlowVerdict,
    /// A node publishes its own envelopes.
    PublishOwn,
}

impl World {
    /// Breaks a turn, if that is what this world is for.
    pub(super) fn sabotage_turn(&mut self, place: Place, turn: &mut Turn) {
        match self.sabotage {
            Some(Sabotage::LoseHistory) => self.lose_history(turn),
            Some(Sabotage::LoseOutbox) => {
                turn.writes
                    .retain(|write| !matches!(write, VaultWrite::Put { key, .. } if key.kind == RecordKind::Outbox));
            }
            Some(Sabotage::LoseChanges) => {
                if place.is_multiple_of(2) {
                    turn.writes.retain(|write| !matches!(write, VaultWrite::Change { .. }));
                }
            }
            Some(Sabotage::LoseReads) => {
                turn.writes.retain(|write| !matches!(write, VaultWrite::Read { .. }));
                turn.outputs.retain(|output| !matches!(output, Output::Event(Told::MessageRead { .. })));
            }
            Some(Sabotage::FalseRead) => self.double(turn, |output| match output {
                Output::Event(Told::MessageState { number, contact, state })
                    if state.stage == DeliveryStage::Delivered =>
                {
                    Some(Output::Event(Told::MessageRead { number: *number, contact: *contact }))
                }
                _ => None,
            }),
            Some(Sabotage::ShowTwice) => self.double(turn, |output| {
                let Output::Event(Told::MessageReceived(view)) = output else { return None };
                Some(Output::Event(Told::MessageReceived(view.clone())))
            }),
            Some(Sabotage::TwoVerdicts) => self.double(turn, |output| {
                let Output::Verdict { token, verdict } = output else { return None };
                Some(Output::Verdict { token: *token, verdict: *verdict })
            }),
            Some(Sabotage::TwoAnswers) => self.double(turn, |output| {
                let Output::CellAnswer { ticket, taken } = output else { return None };
                Some(Output::CellAnswer { ticket: *ticket, taken: *taken })
            }),
            Some(Sabotage::NoVerdict) => {
                if !self.sabotaged && turn.outputs.iter().any(|output| matches!(output, Output::Verdict { .. })) {
                    turn.outputs.retain(|output| !matches!(output, Output::Verdict { .. }));
                    self.sabotaged = self.calm;
                }
            }
            Some(Sabotage::StateBack) => self.double(turn, |output| match output {
                Output::Event(Told::MessageState { number, contact, state })
                    if state.stage == DeliveryStage::Delivered =>
                {
                    let mut state = *state;
                    state.stage = DeliveryStage::Sent;
                    Some(Output::Event(Told::MessageState { number: *number, contact: *contact, state }))
                }
                _ => None,
            }),
            Some(Sabotage::Disorder) => self.disorder(turn),
            Some(Sabotage::Deaf) => {
                if place == 0 && self.calm {
                    self.nodes[0].island = 1_000;
                }
            }
            Some(Sabotage::SlowVerdict) => {
                if turn.outputs.iter().any(|output| matches!(output, Output::Verdict { .. })) {
                    turn.writes.push(VaultWrite::Delete { key: VaultKey::single(RecordKind::Node) });
                }
            }
            Some(Sabotage::PublishOwn) => self.publish_own(place, turn),
            Some(Sabotage::LosePushes | Sabotage::ForgetClientIds | Sabotage::TornRecord) => {}
            Some(Sabotage::OldSessions | Sabotage::EarlyRelease | Sabotage::TinyMemory) | None => {}
        }
    }

    fn double(&mut self, turn: &mut Turn, copy: impl Fn(&Output) -> Option<Output>) {
        if self.sabotaged {
            return;
        }
        if let Some(copy) = turn.outputs.iter().find_map(copy) {
            turn.outputs.push(copy);
            self.sabotaged = true;
        }
    }

    fn publish_own(&mut self, place: Place, turn: &mut Turn) {
        let name = self.nodes[place].name.clone();
        if let Some(envelope) = self.checks.sealed_by(&name).pop() {
            let id = RequestId(u64::MAX);
            turn.outputs.push(Output::Publish { id, topic: envelope.topic(), envelope });
        }
    }

    fn received(write: &VaultWrite) -> Option<HistoryRecord> {
        match write {
            VaultWrite::Put { key, value } if key.kind == RecordKind::History => {
                decode_record::<HistoryRecord>(value).ok().filter(|record| !record.message.own)
            }
            _ => None,
        }
    }

    fn lose_history(&mut self, turn: &mut Turn) {
        turn.writes.retain(|write| Self::received(write).is_none());
    }

    fn disorder(&mut self, turn: &mut Turn) {
        for write in &mut turn.writes {
            let Some(mut record) = Self::received(write) else { continue };
            record.message.sequence = 1_000_000 - record.message.sequence;
            if let VaultWrite::Put { value, .. } = write {
                *value = encode_record(&record);
            }
        }
    }
}
