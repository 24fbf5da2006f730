//! What is on its way to contacts: texts, changes of messages, greetings, batches of acknowledgements, records of the post-quantum ratchet.
//! When each is sealed, sealed again, given up. SPEC: B9.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use starling_e2ee::session::{ChainId, SessionId};
use starling_wire::envelope::{EnvelopeId, Epoch};

use crate::content::Text;
use crate::file::{File, FileKind};
use crate::post::{Post, PostId};
use crate::reassembly::confirmed_as;
use crate::turn::{ContactNumber, MessageNumber, Now};
use crate::view::{DeliveryStage, DeliveryState, MessageBody, MessageView, QueuedReason, TraceLine, TraceStep};

/// Texts, and changes of messages, on their way at a time.
pub(crate) const OUTBOX_TEXTS_MAX: usize = 4_096;
/// Bytes of contents in parts on their way at a time, beyond which no more is taken.
pub(crate) const OUTBOX_BYTES_MAX: usize = 16 << 20;
/// Envelopes that nobody confirms on their way at a time.
pub(crate) const OUTBOX_UNCONFIRMED_MAX: usize = 512;
/// Lines of a message's life that are kept; the first quarter and the newest stay.
const TRACE_LINES_MAX: usize = 64;
const HOUR_MS: u64 = 3_600_000;
/// When a message is sealed again, after its first sealing. SPEC: B9.3, B9.4.
const SEAL_AGAIN_MS: [u64; 3] = [2 * HOUR_MS, 24 * HOUR_MS, 13 * 24 * HOUR_MS];
/// How long a message that nobody confirmed can still be confirmed late.
const EXPIRED_KEPT_MS: u64 = 28 * 24 * HOUR_MS;

/// A text of ours, with what its content needs beside the view.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnText {
    /// What people see.
    pub(crate) view: MessageView,
    /// Message id of the message that it answers.
    pub(crate) reply_to: Option<[u8; 16]>,
    /// What its envelopes say, if it has another wording since the first of them was sealed.
    pub(crate) sealed_text: Option<String>,
    /// The bytes of a file, stored in a record of their own: that of the item is written anew with each of its states.
    #[serde(skip)]
    pub(crate) file: Option<Arc<[u8]>>,
}

impl OwnText {
    /// Its content: what its first envelope said, whatever wording it has since.
    pub(crate) fn content(&self) -> Vec<u8> {
        let MessageView { sequence, created_unix_ms, expires_s, .. } = self.view;
        let reply_to = self.reply_to;
        let text = match (&self.sealed_text, &self.view.body) {
            (Some(text), _) | (None, MessageBody::Text(text)) => text.clone(),
            (None, MessageBody::Unknown { .. }) => String::new(),
            (None, MessageBody::File(view)) => {
                let voice = if let FileKind::Voice(voice) = &view.kind { Some(voice.clone()) } else { None };
                let (text, name) = (view.text.clone(), view.name.clone());
                let bytes = self.file.as_deref().unwrap_or_default().to_vec();
                return File { sequence, created_unix_ms, reply_to, expires_s, text, name, voice, bytes }.encode();
            }
        };
        Text { sequence, created_unix_ms, reply_to, expires_s, text }.encode()
    }
}

/// A piece of a content, which lies in another item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The item that has the content.
    pub(crate) head: u64,
    /// Which part, from 0.
    pub(crate) part: u8,
    /// Of how many.
    pub(crate) of: u8,
    /// How far it came.
    pub(crate) state: DeliveryState,
}

/// What an item carries.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Load {
    /// Hello and card: the first thing a contact gets.
    Greeting,
    /// A text.
    Text(Box<OwnText>),
    /// Acknowledgements alone, of these message ids: never confirmed, so done when they came back; sealed again
    /// like a text until then, since the peer would wait for days.
    Acks(Vec<[u8; 16]>),
    /// Nothing but the record of the post-quantum ratchet that its session had to say: never confirmed, and never
    /// sealed again. Lost, it is said again when it has found no room for as long as before.
    PostQuantum,
    /// A piece of a text or change that is too long for one envelope.
    Part(Box<Part>),
    /// A reaction, an edit, or the end of a message.
    Change {
        /// Message id of the message.
        target: [u8; 16],
        /// Its content.
        bytes: Vec<u8>,
    },
}

impl Load {
    /// Whether nobody ever confirms it. SPEC: B9.6.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        matches!(self, Self::Acks(_) | Self::PostQuantum)
    }
}

/// Where an item was sealed first: what its acknowledgement proves to have arrived at the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Session.
    pub(crate) session: SessionId,
    /// Which of its sending chains.
    pub(crate) chain: ChainId,
    /// Number in the chain.
    pub(crate) number: u32,
}

/// What is to be done with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// Seal it again.
    Seal,
    /// No node keeps it any more.
    Expire,
    /// Forget it.
    Drop,
}

/// What decides on an item beside its own state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    /// Both clocks.
    pub(crate) now: Now,
    /// The wall clock is to be believed: else nothing is given up by it, and no time of sealing again is passed.
    pub(crate) time_is_sure: bool,
    /// Neighbours held.
    pub(crate) links: usize,
    /// There are keys to seal it with: else it keeps the envelope that it has until there are, and expires with it.
    pub(crate) sealable: bool,
    /// How long nodes keep an envelope.
    pub(crate) lifetime_hours: u32,
}

/// One item, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// Its number: of a text, that of the message.
    pub(crate) number: u64,
    /// To whom.
    pub(crate) contact: ContactNumber,
    /// The id under which the recipient confirms it.
    pub(crate) message_id: [u8; 16],
    /// What.
    pub(crate) load: Load,
    /// Envelopes that it needs. Of several each is an item of its own, [`Load::Part`], and this one is never sealed.
    pub(crate) parts: u8,
    /// First sealing, ms since 1970.
    pub(crate) first_sealed_unix_ms: Option<u64>,
    /// Which of the times of [`SEAL_AGAIN_MS`] are behind it.
    rounds: u8,
    /// Its first sealing.
    pub(crate) place: Option<Place>,
    /// Its present envelope; none while it waits to be sealed.
    pub(crate) post: Option<Post>,
    /// When it was given up, ms since 1970.
    pub(crate) expired_unix_ms: Option<u64>,
    /// Its life, oldest line first.
    pub(crate) lines: Vec<TraceLine>,
}

impl Item {
    /// An item that waits to be sealed.
    pub(crate) fn new(number: u64, contact: ContactNumber, message_id: [u8; 16], load: Load) -> Self {
        Self {
            number,
            contact,
            message_id,
            load,
            parts: 1,
            first_sealed_unix_ms: None,
            rounds: 0,
            place: None,
            post: None,
            expired_unix_ms: None,
            lines: Vec::new(),
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&OwnText> {
        match &self.load {
            Load::Text(text) => Some(text),
            Load::Greeting | Load::Acks(_) | Load::PostQuantum | Load::Part(_) | Load::Change { .. } => None,
        }
    }

    /// The bytes of a file, if it is one.
    pub(crate) fn file(&self) -> Option<&Arc<[u8]>> {
        self.text()?.file.as_ref()
    }

    /// Whether it is a file.
    pub(crate) fn is_file(&self) -> bool {
        self.text().is_some_and(|text| text.view.body.file().is_some())
    }

    /// Takes up the bytes of a file.
    pub(crate) fn set_file(&mut self, bytes: Option<Vec<u8>>) {
        if let Load::Text(text) = &mut self.load {
            text.file = bytes.map(|bytes| bytes.as_slice().into());
        }
    }

    /// Bytes of its content, if that goes in parts; a large one in one envelope counts as well.
    pub(crate) fn bytes_in_parts(&self) -> usize {
        match &self.load {
            Load::Text(text) => match (&text.file, &text.view.body) {
                (Some(file), _) => file.len(),
                (None, MessageBody::Text(text)) if self.parts > 1 => text.len(),
                (None, _) => 0,
            },
            Load::Change { bytes, .. } if self.parts > 1 => bytes.len(),
            Load::Greeting | Load::Acks(_) | Load::PostQuantum | Load::Part(_) | Load::Change { .. } => 0,
        }
    }

    /// The text's view, if it is one.
    pub(crate) fn view_mut(&mut self) -> Option<&mut MessageView> {
        match &mut self.load {
            Load::Text(text) => Some(&mut text.view),
            Load::Greeting | Load::Acks(_) | Load::PostQuantum | Load::Part(_) | Load::Change { .. } => None,
        }
    }

    /// How far it came, if people see that of it, or of what it is a part of.
    pub(crate) fn state_mut(&mut self) -> Option<&mut DeliveryState> {
        match &mut self.load {
            Load::Text(text) => Some(&mut text.view.state),
            Load::Part(part) => Some(&mut part.state),
            Load::Greeting | Load::Acks(_) | Load::PostQuantum | Load::Change { .. } => None,
        }
    }

    /// How far it came, if it is a part.
    pub(crate) fn part_state(&self) -> Option<DeliveryState> {
        if let Load::Part(part) = &self.load { Some(part.state) } else { None }
    }

    /// Whether it is a part that was confirmed: it stays until all are.
    pub(crate) fn is_settled(&self) -> bool {
        self.part_state().is_some_and(|state| state.stage == DeliveryStage::Delivered)
    }

    /// Whether it waits to be sealed.
    pub(crate) fn waits(&self) -> bool {
        self.post.is_none() && self.expired_unix_ms.is_none() && self.parts == 1 && !self.is_settled()
    }

    /// Whether it was ever sealed: it may have arrived.
    pub(crate) fn was_sealed(&self) -> bool {
        self.place.is_some()
    }

    /// Writes a line of its life. The life of a text in parts is that of its last one, which leaves last.
    pub(crate) fn trace(&mut self, unix_ms: u64, step: TraceStep) {
        match &self.load {
            Load::Text(_) => {}
            Load::Part(part) if part.part + 1 == part.of => {}
            _ => return,
        }
        if self.lines.len() >= TRACE_LINES_MAX {
            self.lines.remove(TRACE_LINES_MAX / 4);
        }
        self.lines.push(TraceLine { at_unix_ms: unix_ms, step });
    }

    /// It was sealed at `place`.
    pub(crate) fn sealed(&mut self, place: Place, post: Post, unix_ms: u64) {
        let step = match self.first_sealed_unix_ms {
            None => TraceStep::Sealed { bytes: post.class().envelope_bytes() as u32 },
            Some(_) => TraceStep::SealedAgain,
        };
        self.trace(unix_ms, step);
        // A first sealing in the future was the mistake of a clock that has been set right since.
        self.first_sealed_unix_ms = Some(self.first_sealed_unix_ms.map_or(unix_ms, |first| first.min(unix_ms)));
        self.place.get_or_insert(place);
        self.post = Some(post);
    }

    /// What is to be done with it; notes the times that it passes.
    pub(crate) fn due(&mut self, given: &Circumstances) -> Due {
        let &Circumstances { now, time_is_sure, links, sealable, lifetime_hours } = given;
        let epoch = Epoch::from_unix_ms(now.unix_ms);
        if let Some(expired) = self.expired_unix_ms {
            let over = expired.saturating_add(EXPIRED_KEPT_MS) <= now.unix_ms;
            return if over && time_is_sure { Due::Drop } else { Due::Nothing };
        }
        if matches!(self.load, Load::PostQuantum) {
            let is_under_way = self.post.as_ref().is_some_and(|post| post.is_open(epoch) && !post.came_back);
            return if is_under_way { Due::Nothing } else { Due::Drop };
        }
        let (Some(post), Some(first)) = (&self.post, self.first_sealed_unix_ms) else { return Due::Nothing };
        let mut passed = self.rounds;
        if links > 0 && time_is_sure {
            let age_ms = now.unix_ms.saturating_sub(first);
            passed = passed.max(SEAL_AGAIN_MS.iter().filter(|&&at_ms| at_ms <= age_ms).count() as u8);
        }
        let is_last = usize::from(passed) == SEAL_AGAIN_MS.len();
        let over = usize::from(passed) + 1 >= SEAL_AGAIN_MS.len() && time_is_sure && !post.is_open(epoch);
        if matches!(self.load, Load::Acks(_)) && (post.came_back || over) {
            return Due::Drop;
        }
        if links > 0 && post.is_ahead(epoch) {
            return Due::Seal;
        }
        if links > 0 && sealable {
            let lost = !post.is_safe(links) && !post.is_open(epoch);
            if passed > self.rounds {
                self.rounds = passed;
                if lost || is_last {
                    return Due::Seal;
                }
            } else if lost && !post.taken && !post.came_back {
                return Due::Seal;
            }
        }
        let kept_ms = u64::from(lifetime_hours) * HOUR_MS;
        let over = post.sealed_unix_ms.saturating_add(kept_ms) <= now.unix_ms;
        if over && is_last && time_is_sure { Due::Expire } else { Due::Nothing }
    }

    /// When it is sealed again at the earliest, ms since 1970.
    pub(crate) fn next_seal_unix_ms(&self) -> Option<u64> {
        let at_ms = SEAL_AGAIN_MS.get(usize::from(self.rounds))?;
        Some(self.first_sealed_unix_ms?.saturating_add(*at_ms))
    }

    /// Whether its confirmation is still hoped for.
    pub(crate) fn is_open(&self) -> bool {
        self.expired_unix_ms.is_none() && !self.load.is_unconfirmed() && !self.is_settled()
    }
}

/// All items.
#[derive(Default)]
pub(crate) struct Outbox {
    items: BTreeMap<u64, Item>,
    /// Items that wait to be sealed, greetings first.
    waiting: BTreeMap<ContactNumber, BTreeSet<(bool, u64)>>,
    /// Own envelopes that have an id.
    ids: BTreeMap<EnvelopeId, PostId>,
    greetings: BTreeMap<ContactNumber, u64>,
    /// Parts, by the id under which each is confirmed.
    parts: BTreeMap<[u8; 16], u64>,
    texts: usize,
    unconfirmed: usize,
}

impl Outbox {
    /// Adds an item.
    pub(crate) fn insert(&mut self, item: Item) {
        match item.load {
            Load::Text(_) | Load::Change { .. } => self.texts += 1,
            Load::Part(ref part) => {
                self.texts += 1;
                self.parts.insert(confirmed_as(&item.message_id, part.part, part.of), item.number);
            }
            Load::Acks(_) | Load::PostQuantum => self.unconfirmed += 1,
            Load::Greeting => {
                self.greetings.insert(item.contact, item.number);
            }
        }
        if item.waits() {
            self.wait(&item);
        }
        if let Some(id) = item.post.as_ref().and_then(Post::id) {
            self.ids.insert(id, PostId::Item(item.number));
        }
        self.items.insert(item.number, item);
    }

    fn wait(&mut self, item: &Item) {
        let later = !matches!(item.load, Load::Greeting);
        self.waiting.entry(item.contact).or_default().insert((later, item.number));
    }

    /// Takes an item out.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Item> {
        let item = self.items.remove(&number)?;
        match item.load {
            Load::Text(_) | Load::Change { .. } => self.texts -= 1,
            Load::Part(ref part) => {
                self.texts -= 1;
                self.parts.remove(&confirmed_as(&item.message_id, part.part, part.of));
            }
            Load::Acks(_) | Load::PostQuantum => self.unconfirmed -= 1,
            Load::Greeting => {
                self.greetings.remove(&item.contact);
            }
        }
        self.stop_waiting(&item);
        if let Some(id) = item.post.as_ref().and_then(Post::id) {
            self.ids.remove(&id);
        }
        Some(item)
    }

    fn stop_waiting(&mut self, item: &Item) {
        if let Some(waiting) = self.waiting.get_mut(&item.contact) {
            waiting.remove(&(!matches!(item.load, Load::Greeting), item.number));
            if waiting.is_empty() {
                self.waiting.remove(&item.contact);
            }
        }
    }

    /// One of them.
    pub(crate) fn get(&self, number: u64) -> Option<&Item> {
        self.items.get(&number)
    }

    /// One of them. Its post is changed by [`Self::set_post`] alone.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Item> {
        self.items.get_mut(&number)
    }

    /// Numbers of all.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.items.keys().copied().collect()
    }

    /// All.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.values()
    }

    /// Items of one contact.
    pub(crate) fn of_contact(&self, contact: ContactNumber) -> Vec<u64> {
        self.iter().filter(|item| item.contact == contact).map(|item| item.number).collect()
    }

    /// The greeting on its way to `contact`.
    pub(crate) fn greeting_of(&self, contact: ContactNumber) -> Option<&Item> {
        self.items.get(self.greetings.get(&contact)?)
    }

    /// Contacts for whom something waits to be sealed.
    pub(crate) fn contacts_waiting(&self) -> Vec<ContactNumber> {
        self.waiting.keys().copied().collect()
    }

    /// The next item to seal for `contact`.
    pub(crate) fn next_waiting(&self, contact: ContactNumber) -> Option<u64> {
        self.waiting.get(&contact)?.first().map(|&(_, number)| number)
    }

    /// All items that wait to be sealed for `contact`.
    pub(crate) fn waiting_for(&self, contact: ContactNumber) -> Vec<u64> {
        self.waiting.get(&contact).into_iter().flatten().map(|&(_, number)| number).collect()
    }

    /// The item was sealed.
    pub(crate) fn sealed(&mut self, number: u64, place: Place, post: Post, unix_ms: u64) {
        let Some(mut item) = self.items.remove(&number) else { return };
        self.stop_waiting(&item);
        item.sealed(place, post, unix_ms);
        self.items.insert(number, item);
    }

    /// The item's envelope is given up: it waits to be sealed again. The envelope that was.
    pub(crate) fn unseal(&mut self, number: u64) -> Option<Post> {
        let mut item = self.items.remove(&number)?;
        let post = item.post.take();
        self.forget_id(post.as_ref());
        if item.waits() {
            self.wait(&item);
        }
        self.items.insert(number, item);
        post
    }

    /// The parts of an item.
    pub(crate) fn parts_of(&self, head: u64) -> impl DoubleEndedIterator<Item = &Item> {
        // They were counted right after it.
        let numbers = head..=head.saturating_add(u64::from(u8::MAX));
        let is_part = move |item: &&Item| matches!(&item.load, Load::Part(part) if part.head == head);
        self.items.range(numbers).map(|(_, item)| item).filter(is_part)
    }

    /// The item that an item is a part of.
    pub(crate) fn head_of(&self, number: u64) -> Option<u64> {
        match &self.items.get(&number)?.load {
            Load::Part(part) => Some(part.head),
            _ => None,
        }
    }

    /// The part that is confirmed under an id, and what it is a part of.
    pub(crate) fn part_by_id(&self, id: &[u8; 16]) -> Option<(u64, u64)> {
        let number = *self.parts.get(id)?;
        Some((number, self.head_of(number)?))
    }

    /// A part was confirmed.
    pub(crate) fn settle(&mut self, number: u64) {
        let Some(mut item) = self.items.remove(&number) else { return };
        self.stop_waiting(&item);
        let post = item.post.take();
        self.forget_id(post.as_ref());
        item.expired_unix_ms = None;
        if let Some(state) = item.state_mut() {
            (state.stage, state.reason) = (DeliveryStage::Delivered, None);
        }
        self.items.insert(number, item);
    }

    /// A part that another device than so far confirmed is to be sealed for the present one.
    pub(crate) fn unsettle(&mut self, number: u64) {
        let Some(mut item) = self.items.remove(&number) else { return };
        if let Some(state) = item.state_mut().filter(|state| state.stage == DeliveryStage::Delivered) {
            (state.stage, state.reason) = (DeliveryStage::Queued, Some(QueuedReason::Stamping));
        }
        if item.waits() {
            self.wait(&item);
        }
        self.items.insert(number, item);
    }

    /// The item is for another device than so far: the times at which it is sealed again begin anew. Where it was
    /// sealed first stays, as the old device may have confirmed it.
    pub(crate) fn begin_anew(&mut self, number: u64) {
        if let Some(item) = self.items.get_mut(&number) {
            (item.first_sealed_unix_ms, item.rounds) = (None, 0);
        }
    }

    /// Nobody keeps the item any more.
    pub(crate) fn expire(&mut self, number: u64, unix_ms: u64) {
        let Some(mut item) = self.items.remove(&number) else { return };
        item.expired_unix_ms = Some(unix_ms);
        let post = item.post.take();
        self.forget_id(post.as_ref());
        self.items.insert(number, item);
    }

    /// An own envelope got its id.
    pub(crate) fn remember_id(&mut self, id: EnvelopeId, post: PostId) {
        self.ids.insert(id, post);
    }

    /// An own envelope is of no interest any more.
    pub(crate) fn forget_id(&mut self, post: Option<&Post>) {
        if let Some(id) = post.and_then(Post::id) {
            self.ids.remove(&id);
        }
    }

    /// The own envelope with this id.
    pub(crate) fn by_id(&self, id: &EnvelopeId) -> Option<PostId> {
        self.ids.get(id).copied()
    }

    /// Whether no more texts are taken, nor parts of them.
    pub(crate) fn is_full(&self) -> bool {
        self.texts >= OUTBOX_TEXTS_MAX
    }

    /// Whether no more envelopes that nobody confirms are sent for now.
    pub(crate) fn unconfirmed_is_full(&self) -> bool {
        self.unconfirmed >= OUTBOX_UNCONFIRMED_MAX
    }

    /// What happened to a text so far, its last part included.
    pub(crate) fn lines_of(&self, head: &Item) -> Vec<TraceLine> {
        let parts = self.parts_of(head.number).flat_map(|part| &part.lines);
        let mut lines: Vec<TraceLine> = head.lines.iter().chain(parts).cloned().collect();
        lines.sort_by_key(|line| line.at_unix_ms);
        lines
    }

    /// Life of a text that is still here.
    pub(crate) fn lines(&self, number: MessageNumber) -> Option<Vec<TraceLine>> {
        let head = self.items.get(&number.0).filter(|item| item.text().is_some())?;
        let item = self.parts_of(number.0).next_back().unwrap_or(head);
        let mut lines = self.lines_of(head);
        if let (Some(at_unix_ms), None) = (item.next_seal_unix_ms(), item.expired_unix_ms) {
            lines.push(TraceLine { at_unix_ms, step: TraceStep::NextTry { at_unix_ms } });
        }
        Some(lines)
    }
}
