//! Opening a message: the receiving half of the ratchet. SPEC: B8, B11, steps 2 to 6.
//!
//! First everything that the message would change is computed beside the session; only when the body has opened is
//! it put in place. So a message that does not open changes nothing, and no copy of the session is made.

use std::sync::OnceLock;

use crate::handshake::OuterFirstContact;
use crate::primitives::secret::Secret;
use crate::primitives::x25519::PublicKey;
use crate::record::{self, Decoded, Record};
use crate::seal::{Class, HEADER_BYTES, OpenError, Parts, Tag};

use super::chain::{self, Header, ReceivingChain, Step};
use super::skipped::SkippedKey;
use super::tags::{Position, WINDOW, Windows};
use super::{Role, Session, UNACKNOWLEDGED_MAX};

/// What came of opening a message, and what has changed beside the session's own record.
///
/// Changes of the index are told once the caller has asked for all tags ([`Session::watched`]); before, it has none
/// to keep up to date, and `unwatch` and `watch` tell nothing of the windows.
pub struct Opened {
    /// What the message says.
    pub records: Vec<Record>,
    /// Tags to take out of the index: of this message, of those that can no longer come, and of skipped keys dropped.
    pub unwatch: Vec<Tag>,
    /// Tags to put into the index, and to look up among the envelopes that are there already.
    pub watch: Vec<(Tag, Position)>,
    /// Keys to store, each a record of its own. Their tags are watched already.
    pub skipped_added: Vec<SkippedKey>,
    /// Keys to erase from storage, by tag.
    pub skipped_removed: Vec<Tag>,
}

/// A message as it came.
struct Incoming<'a> {
    /// What its header is bound to.
    associated_data: &'a [u8],
    header: &'a [u8; HEADER_BYTES],
    body: &'a [u8],
}

/// What a message changes, if it opens.
enum Advance {
    /// It uses up a skipped key.
    Skipped,
    /// It moves the receiving chain, perhaps to a new one.
    Chain {
        step: Option<Box<Stepped>>,
        /// Keys passed over in the chain it is in.
        passed: Vec<(u32, Secret<32>)>,
        number: u32,
        next_number: u32,
        chain_key: Secret<32>,
    },
}

/// A receiving step.
struct Stepped {
    root: Secret<32>,
    next_header: Secret<32>,
    peer_dh: PublicKey,
    /// The post-quantum epoch mixed in; 0 for none.
    epoch: u32,
    /// Keys passed over at the end of the chain before.
    left: Vec<(u32, Secret<32>)>,
}

impl Session {
    /// Opens a message whose tag was watched under `position`. On an error nothing has changed: the tag stays watched,
    /// as somebody else may have sent garbage under it.
    pub fn open(&mut self, position: Position, parts: &Parts<'_>, now_unix_ms: u64) -> Result<Opened, OpenError> {
        Class::of_body(parts.body.len()).ok_or(OpenError)?;
        let (header, body) = parts.body.split_first_chunk().ok_or(OpenError)?;
        let ad0 = parts.ad0();
        self.open_message(position, &Incoming { associated_data: &ad0, header, body }, now_unix_ms)
    }

    /// Opens the message in a further first contact of this session ([`OuterFirstContact::digest`] is known). Of its
    /// handshake only the number is looked at.
    pub fn open_repeated(&mut self, outer: &OuterFirstContact, now_unix_ms: u64) -> Result<Opened, OpenError> {
        self.open_first_contact(outer, now_unix_ms)
    }

    /// A first contact's message is in the initiator's first chain.
    pub(crate) fn open_first_contact(
        &mut self,
        outer: &OuterFirstContact,
        now_unix_ms: u64,
    ) -> Result<Opened, OpenError> {
        if self.role != Role::Responder || self.id != outer.session_id() {
            return Err(OpenError);
        }
        let position = Position { chain: 0, number: outer.number() };
        let incoming =
            Incoming { associated_data: outer.associated_data(), header: outer.header(), body: outer.body() };
        self.open_message(position, &incoming, now_unix_ms)
    }

    /// All tags to watch, for loading the index.
    pub fn watched(&self) -> impl Iterator<Item = (Tag, Position)> {
        let derive = || Windows::derive(self.receiving.as_ref(), &self.next_receiving_header, self.chains_received);
        self.windows.get_or_init(derive).watched().chain(self.skipped.watched())
    }

    /// Takes back the skipped keys stored beside the session's record, at most [`super::SKIPPED_MAX`]; those of other
    /// sessions are left out.
    pub fn restore_skipped(&mut self, keys: Vec<SkippedKey>) {
        let id = self.id;
        self.skipped.add(keys.into_iter().filter(|key| key.session() == id));
    }

    /// Erases the skipped keys whose time is over. Returns their tags, to be unwatched and erased from storage.
    pub fn expire_skipped(&mut self, now_unix_s: u64) -> Vec<Tag> {
        self.skipped.expire(now_unix_s)
    }

    /// How many skipped keys it holds.
    pub fn skipped_len(&self) -> usize {
        self.skipped.len()
    }

    fn open_message(
        &mut self,
        position: Position,
        incoming: &Incoming<'_>,
        now_unix_ms: u64,
    ) -> Result<Opened, OpenError> {
        let (advance, message_key) = self.plan(position, incoming).ok_or(OpenError)?;
        let associated_data = chain::body_associated_data(incoming.associated_data, incoming.header);
        let key = chain::body_key(&self.session_salt, &message_key);
        let plaintext = key.open(&associated_data, incoming.body).ok_or(OpenError)?;
        let Decoded { records, kem } = record::decode_all(&plaintext).ok_or(OpenError)?;
        self.first_contact = None;
        self.last_received_unix_ms = self.last_received_unix_ms.max(now_unix_ms);
        let opened = match advance {
            Advance::Skipped => self.apply_skipped(position, records),
            Advance::Chain { step, passed, number, next_number, chain_key } => {
                let mut changes = Changes::new(self, now_unix_ms);
                if let Some(step) = step {
                    changes.step(step);
                }
                changes.pass(passed, number, next_number, chain_key);
                changes.finish(records)
            }
        };
        // After the step: a message whose step ends an epoch speaks of the next.
        self.post_quantum.opened(&kem, &self.session_salt, now_unix_ms);
        Ok(opened)
    }

    /// Which of the three ways of B11 step 1 to 3 the message goes, and its key.
    fn plan(&self, position: Position, incoming: &Incoming<'_>) -> Option<(Advance, Secret<32>)> {
        let Position { chain, number } = position;
        match &self.receiving {
            _ if chain == self.chains_received => self.plan_next(number, incoming),
            Some(receiving) if self.is_current(chain) && number >= receiving.next_number => {
                self.plan_current(receiving, number, incoming)
            }
            _ => Some((Advance::Skipped, self.skipped.message_key(position)?.clone())),
        }
    }

    fn is_current(&self, chain: u32) -> bool {
        chain.checked_add(1) == Some(self.chains_received)
    }

    fn plan_current(
        &self,
        receiving: &ReceivingChain,
        number: u32,
        incoming: &Incoming<'_>,
    ) -> Option<(Advance, Secret<32>)> {
        let header = Header::open(&receiving.header_key, number, incoming.associated_data, incoming.header)?;
        if header.dh != *self.peer_dh.as_bytes() {
            return None;
        }
        plan_chain(&receiving.chain_key, receiving.next_number, number, None)
    }

    fn plan_next(&self, number: u32, incoming: &Incoming<'_>) -> Option<(Advance, Secret<32>)> {
        if number >= WINDOW {
            return None;
        }
        let header = Header::open(&self.next_receiving_header, number, incoming.associated_data, incoming.header)?;
        let epoch = header.epoch;
        let mixed_in = self.post_quantum.to_receive(epoch)?;
        let left = self.plan_left(header.previous_length)?;
        let peer_dh = PublicKey::new(&header.dh);
        let shared = peer_dh.agree(self.own_dh.as_ref()?)?;
        let Step { root, chain_key, next_header } = chain::step(&self.root, &shared, epoch, mixed_in);
        plan_chain(&chain_key, 0, number, Some(Box::new(Stepped { root, next_header, peer_dh, epoch, left })))
    }

    /// Keys from Nr to before `previous_length` of the chain that the peer has ended.
    fn plan_left(&self, previous_length: u32) -> Option<Vec<(u32, Secret<32>)>> {
        let Some(receiving) = &self.receiving else { return (previous_length == 0).then(Vec::new) };
        let first = receiving.next_number;
        if previous_length < first || previous_length > first.saturating_add(WINDOW) {
            return None;
        }
        Some(chain::derive(&receiving.chain_key, first, previous_length).0)
    }

    fn apply_skipped(&mut self, position: Position, records: Vec<Record>) -> Opened {
        let used: Vec<_> = self.skipped.remove(position).into_iter().collect();
        Opened { records, unwatch: used.clone(), watch: Vec::new(), skipped_added: Vec::new(), skipped_removed: used }
    }
}

/// Derives from the chain's `next_number` to `number` and past it.
fn plan_chain(
    chain_key: &Secret<32>,
    next_number: u32,
    number: u32,
    step: Option<Box<Stepped>>,
) -> Option<(Advance, Secret<32>)> {
    let steps = number.checked_sub(next_number)?;
    if steps > UNACKNOWLEDGED_MAX {
        return None;
    }
    let (passed, chain_key) = chain::derive(chain_key, next_number, number);
    let message_key = chain::message_key(&chain_key);
    let chain_key = chain::next_chain_key(&chain_key);
    let next_number = number.checked_add(1)?;
    Some((Advance::Chain { step, passed, number, next_number, chain_key }, message_key))
}

/// Puts a plan in place and notes what changes in the index and in the stored keys.
struct Changes<'a> {
    session: &'a mut Session,
    /// Absent as long as nobody has asked for the tags: then no index needs to hear of changes.
    windows: Option<Windows>,
    now_unix_ms: u64,
    opened: Opened,
}

impl<'a> Changes<'a> {
    fn new(session: &'a mut Session, now_unix_ms: u64) -> Self {
        let opened = Opened {
            records: Vec::new(),
            unwatch: Vec::new(),
            watch: Vec::new(),
            skipped_added: Vec::new(),
            skipped_removed: Vec::new(),
        };
        Self { windows: session.windows.take(), session, now_unix_ms, opened }
    }

    /// To the peer's next chain: what it left behind is skipped, what it never sent is no longer watched, and a new
    /// next chain is.
    fn step(&mut self, step: Box<Stepped>) {
        let Stepped { root, next_header, peer_dh, epoch, left } = *step;
        self.skip(left);
        let session = &mut *self.session;
        if epoch != 0 {
            session.post_quantum.mixed(epoch, self.now_unix_ms);
        }
        session.chains_received = session.chains_received.saturating_add(1);
        session.root = root;
        session.peer_dh = peer_dh;
        session.own_dh = None;
        let header_key = core::mem::replace(&mut session.next_receiving_header, next_header);
        // The chain key is set by `pass`, which always follows.
        session.receiving = Some(ReceivingChain { header_key, chain_key: Secret::new([0; 32]), next_number: 0 });
        if let Some(windows) = &mut self.windows {
            let ended = windows.step(&session.next_receiving_header, session.chains_received);
            let skipped = self.opened.skipped_added.len();
            self.opened.unwatch.extend(ended.skip(skipped));
            self.opened.watch.extend(windows.next.watched());
        }
    }

    /// Past message `number` of the current chain, whose numbers before it are skipped.
    fn pass(&mut self, passed: Vec<(u32, Secret<32>)>, number: u32, next_number: u32, chain_key: Secret<32>) {
        self.skip(passed);
        let Some(receiving) = &mut self.session.receiving else { return };
        receiving.chain_key = chain_key;
        receiving.next_number = next_number;
        if let Some(window) = self.windows.as_mut().and_then(|windows| windows.current.as_mut()) {
            self.opened.unwatch.extend(window.tag(number));
            self.opened.watch.extend(window.move_to(&receiving.header_key, next_number));
        }
    }

    /// Keys of the current chain become skipped ones; their tags stay watched.
    fn skip(&mut self, keys: Vec<(u32, Secret<32>)>) {
        let Some(receiving) = &self.session.receiving else { return };
        let (id, chain) = (self.session.id, self.session.chains_received.saturating_sub(1));
        let skipped = keys.into_iter().map(|(number, key)| {
            let tag = chain::tag(&receiving.header_key, number);
            SkippedKey::new(id, Position { chain, number }, tag, key, self.now_unix_ms)
        });
        self.opened.skipped_added.extend(skipped);
    }

    fn finish(mut self, records: Vec<Record>) -> Opened {
        let dropped = self.session.skipped.add(self.opened.skipped_added.iter().cloned());
        self.opened.unwatch.extend(&dropped);
        self.opened.skipped_removed = dropped;
        self.opened.records = records;
        self.session.windows = self.windows.map(OnceLock::from).unwrap_or_default();
        self.opened
    }
}
