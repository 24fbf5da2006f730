//! The people at the machines: they introduce themselves to each other, accept strangers, write, press the
//! button twice when nothing seems to happen, and wait.

use starling_messenger::turn::{
    Command, CommandError, ContactNumber, Input, MessageNumber, OutgoingFile, Reply, RequestId, RequestNumber,
};
use starling_messenger::view::Event as Told;
use starling_wire::invite::Invite;

use super::changes::{Deed, file_bytes, filler_bytes};
use super::check::Rule;
use super::event::{Event, Place};
use super::plan::{DAY_MS, MINUTE_MS, SECOND_MS, Span, below, chance};
use super::world::World;

/// Seconds for which an invite holds: longer than any run.
const INVITE_EXPIRES_S: u32 = 60 * 24 * 3_600;

/// What a person does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Makes an invite and gives it to somebody.
    Invite {
        /// To whom.
        guest: Place,
    },
    /// Makes an invite and leaves it lying about, for a test to pick up.
    Show,
    /// Gives somebody the reusable address.
    Lend {
        /// To whom.
        to: Place,
    },
    /// Uses what somebody gave them.
    Add {
        /// The text of it.
        link: String,
    },
    /// Accepts a stranger, or refuses them.
    Accept {
        /// Which.
        request: RequestNumber,
        /// Who it is.
        whom: Place,
    },
    /// Blocks somebody, or ends that.
    Block {
        /// Whom.
        whom: Place,
        /// Which of both.
        blocked: bool,
    },
    /// Removes a contact.
    Remove {
        /// Whom.
        whom: Place,
    },
    /// Has contacts told what they read, and listens to what they tell.
    Tell,
    /// Reads all that somebody wrote so far.
    Read {
        /// Who.
        whom: Place,
        /// Up to which message, once that is known.
        up_to: Option<MessageNumber>,
    },
    /// Does something to a message.
    Change {
        /// What it said first.
        about: String,
        /// What.
        deed: Deed,
        /// How often they still look for it.
        looks: u8,
    },
    /// Writes.
    Write {
        /// To whom.
        to: Place,
        /// What; no text is ever written twice.
        text: String,
        /// The id under which their program sends it.
        client_id: Option<[u8; 16]>,
        /// How often it sends it again although it was answered.
        repeats: u8,
    },
}

/// The file that goes with some texts: told by the text, so that whoever gets it knows what it must be.
fn file_of(text: &str) -> Option<Box<OutgoingFile>> {
    file_bytes(text).map(|bytes| Box::new(OutgoingFile { name: format!("{}.bin", bytes.len()), voice: None, bytes }))
}

impl World {
    /// Draws who meets whom, and who writes what when.
    pub(super) fn plan_people(&mut self) {
        let (nodes, trouble_ms) = (self.plan.nodes, self.plan.trouble_ms);
        let mut pairs = Vec::new();
        for count in 0..self.plan.introductions {
            let one = if count < nodes { count } else { below(&mut self.rng, nodes as u64) as usize };
            let other = if count < nodes { (count + 1) % nodes } else { below(&mut self.rng, nodes as u64) as usize };
            let known = pairs.contains(&(one, other)) || pairs.contains(&(other, one));
            if one != other && !known {
                pairs.push((one, other));
                let at_ms = below(&mut self.rng, trouble_ms * 2 / 5);
                self.introduce(one, other, at_ms);
            }
        }
        let mut written = 0;
        while written < self.plan.texts {
            let pair = pairs[below(&mut self.rng, pairs.len() as u64) as usize];
            let long = written == 0 && self.plan.burst_max > 6;
            let burst = if long { self.plan.burst_max } else { 1 + below(&mut self.rng, self.plan.burst_max.min(6)) };
            let at_ms = trouble_ms / 10 + below(&mut self.rng, trouble_ms * 9 / 10);
            self.plan_burst(pair, at_ms, burst as usize, written);
            written += burst as usize;
        }
        self.plan_telling();
        for _ in 0..self.plan.blocks {
            let (one, other) = pairs[below(&mut self.rng, pairs.len() as u64) as usize];
            let at_ms = trouble_ms / 3 + below(&mut self.rng, trouble_ms / 2);
            let until_ms = at_ms + below(&mut self.rng, (self.plan.away_ms * 2).min(10 * DAY_MS));
            self.queue.put(at_ms, Event::Act { node: one, act: Act::Block { whom: other, blocked: true } });
            self.queue.put(until_ms, Event::Act { node: one, act: Act::Block { whom: other, blocked: false } });
            // Whoever is down when they mean to unblock does so in the end.
            let end_ms = trouble_ms + MINUTE_MS;
            self.queue.put(end_ms, Event::Act { node: one, act: Act::Block { whom: other, blocked: false } });
        }
        for _ in 0..self.plan.removals {
            let (one, other) = pairs[below(&mut self.rng, pairs.len() as u64) as usize];
            let at_ms = trouble_ms / 3 + below(&mut self.rng, trouble_ms / 2);
            self.queue.put(at_ms, Event::Act { node: one, act: Act::Remove { whom: other } });
        }
    }

    /// Lets two people meet in one of four ways.
    fn introduce(&mut self, one: Place, other: Place, at_ms: u64) {
        let kind = below(&mut self.rng, 100);
        let later_ms = at_ms + below(&mut self.rng, 20 * SECOND_MS);
        match kind {
            0..50 => self.queue.put(at_ms, Event::Act { node: one, act: Act::Invite { guest: other } }),
            50..70 => self.queue.put(at_ms, Event::Act { node: one, act: Act::Lend { to: other } }),
            70..85 => {
                self.queue.put(at_ms, Event::Act { node: one, act: Act::Lend { to: other } });
                self.queue.put(later_ms, Event::Act { node: other, act: Act::Lend { to: one } });
            }
            _ => {
                self.queue.put(at_ms, Event::Act { node: one, act: Act::Invite { guest: other } });
                self.queue.put(later_ms, Event::Act { node: other, act: Act::Invite { guest: one } });
            }
        }
    }

    fn plan_burst(&mut self, (one, other): (Place, Place), at_ms: u64, count: usize, number: usize) {
        let (from, to) = if chance(&mut self.rng, 50) { (one, other) } else { (other, one) };
        let mut at_ms = at_ms;
        for text in 0..count {
            let filler = "x".repeat(filler_bytes(number + text, below(&mut self.rng, 900)));
            let client_id = chance(&mut self.rng, 60).then(|| {
                let mut id = [0; 16];
                rand_core::Rng::fill_bytes(&mut self.rng, &mut id);
                id
            });
            let repeats = if client_id.is_some() { below(&mut self.rng, 3) as u8 } else { 0 };
            let text = format!("{from}>{to} #{} {filler}", number + text);
            self.plan_changes(at_ms, from, to, &text);
            self.plan_text(at_ms, from, to, text, client_id, repeats);
            at_ms += below(&mut self.rng, 3 * SECOND_MS);
        }
    }

    /// Lets somebody write at a moment.
    pub fn plan_text(
        &mut self,
        at_ms: u64,
        from: Place,
        to: Place,
        text: String,
        client_id: Option<[u8; 16]>,
        repeats: u8,
    ) {
        self.checks.will_write(from, to, &text);
        self.queue.put(at_ms, Event::Act { node: from, act: Act::Write { to, text, client_id, repeats } });
    }

    fn human_ms(&mut self) -> u64 {
        let quick_ms = SECOND_MS + below(&mut self.rng, MINUTE_MS);
        match self.plan.span {
            Span::Minutes => quick_ms,
            Span::Days | Span::Weeks if chance(&mut self.rng, 30) => below(&mut self.rng, DAY_MS),
            Span::Days | Span::Weeks => quick_ms * 10,
        }
    }

    /// Somebody tries again later.
    pub(super) fn act_again(&mut self, place: Place, act: Act) {
        if let Act::Write { client_id: None, text, .. } = &act
            && self.checks.was_tried(text)
        {
            // Whether it was sent they see in the conversation; writing it again would be a second message.
            return;
        }
        let in_ms = match self.plan.span {
            Span::Minutes => 2 * SECOND_MS + below(&mut self.rng, 20 * SECOND_MS),
            Span::Days | Span::Weeks => MINUTE_MS + below(&mut self.rng, 30 * MINUTE_MS),
        };
        self.queue.put(self.at_ms + in_ms, Event::Act { node: place, act });
    }

    /// A node has started: nothing that people do depends on it.
    pub(super) fn on_act(&mut self, place: Place, act: Act) {
        if !self.nodes[place].is_online() {
            return self.act_again(place, act);
        }
        let act = match act {
            Act::Read { whom, .. } => Act::Read { whom, up_to: self.checks.reading.looks(place, whom) },
            act => act,
        };
        let command = match &act {
            Act::Invite { .. } | Act::Show => {
                Command::CreateInvite { label: None, expires_s: INVITE_EXPIRES_S, peers: Vec::new() }
            }
            Act::Lend { .. } => Command::Address { peers: Vec::new() },
            Act::Add { link, .. } => match Invite::parse(link) {
                Ok(invite) => Command::AddContact { invite: Box::new(invite), name: None, replace: None },
                Err(error) => return self.refused(place, &format!("{act:?}"), &error.to_string()),
            },
            Act::Accept { request, whom } if chance(&mut self.rng, 10) => {
                self.part(place, *whom);
                Command::AnswerRequest { request: *request, accept: false, name: None }
            }
            Act::Accept { request, .. } => Command::AnswerRequest { request: *request, accept: true, name: None },
            Act::Block { blocked: true, .. } if self.calm => return,
            Act::Block { whom, blocked } => {
                let Some(contact) = self.contact_of(place, *whom) else { return };
                Command::SetBlocked { contact, blocked: *blocked }
            }
            Act::Remove { whom } => {
                let Some(contact) = self.contact_of(place, *whom) else { return };
                self.part(place, *whom);
                Command::RemoveContact(contact)
            }
            Act::Tell => Command::SetReadReceipts(true),
            Act::Read { whom, up_to } => match self.read_command(place, *whom, *up_to) {
                Some(command) => command,
                None => return,
            },
            Act::Change { about, deed, looks } => match self.change_command(place, about, *deed, *looks) {
                Ok(command) => command,
                Err(Some(later)) => return self.act_again(place, later),
                Err(None) => return,
            },
            Act::Write { to, .. } if self.checks.is_severed(place, *to) => return,
            Act::Write { to, text, client_id, .. } => {
                let Some(contact) = self.contact_of(place, *to) else { return self.act_again(place, act) };
                self.checks.tries(text);
                let expires_s = self.expires_s(text);
                Command::Send {
                    contact,
                    text: text.clone(),
                    file: file_of(text),
                    reply_to: None,
                    client_id: *client_id,
                    expires_s,
                }
            }
        };
        let id = RequestId(self.fresh_number());
        self.nodes[place].commands.insert(id, act);
        self.step(place, Input::Command { id, command });
    }

    /// Somebody removes or refuses somebody. Half of them are sorry later, ask for the address, and add them again.
    fn part(&mut self, place: Place, whom: Place) {
        self.checks.sever(place, whom);
        if chance(&mut self.rng, 50) {
            let in_ms = self.human_ms() * 2;
            self.queue.put(self.at_ms + in_ms, Event::Act { node: whom, act: Act::Lend { to: place } });
        }
    }

    fn contact_of(&self, place: Place, whom: Place) -> Option<ContactNumber> {
        self.nodes[place].contacts.get(&self.nodes[whom].account).copied()
    }

    fn refused(&mut self, place: Place, what: &str, why: &str) {
        let name = self.nodes[place].name.clone();
        let what: String = what.chars().take(80).collect();
        self.violated(Rule::Reasonable, &name, format!("{what} was refused: {why}"));
    }

    /// A node replies to its person.
    pub(super) fn on_reply(&mut self, place: Place, id: RequestId, reply: Reply) {
        let Some(act) = self.nodes[place].commands.remove(&id) else { return };
        match (act, reply) {
            (Act::Invite { guest }, Reply::Invite(view)) => {
                self.note(place, || format!("invites n{guest:02}"));
                self.hand_over(guest, view.link);
            }
            (Act::Show, Reply::Invite(view)) => {
                self.invites.insert(place, view.link);
            }
            (Act::Lend { to }, Reply::Address(view)) => {
                self.note(place, || format!("gives n{to:02} the address"));
                self.hand_over(to, view.link);
            }
            (Act::Add { .. }, Reply::Contact(view)) => self.note(place, || format!("adds {}", view.name)),
            (Act::Add { .. }, Reply::Refused(CommandError::AlreadyContact(_) | CommandError::InviteUsed { .. })) => {}
            (Act::Accept { .. }, Reply::Contact(view)) => self.note(place, || format!("accepts {}", view.name)),
            (Act::Accept { .. }, Reply::Done) => self.note(place, || "refuses".to_owned()),
            (Act::Accept { .. }, Reply::Refused(CommandError::NoSuchRequest)) => {}
            (Act::Write { to, text, client_id, repeats }, Reply::Message { message, known }) => {
                let label: String = text.chars().take(14).collect();
                self.note(place, || format!("m{} to n{to:02} {label:?}, known {known}", message.number.0));
                self.checks.told(self.at_ms, &self.nodes[place], message.number, &text, client_id);
                if repeats > 0 {
                    let in_ms = below(&mut self.rng, 5 * MINUTE_MS);
                    let act = Act::Write { to, text, client_id, repeats: repeats - 1 };
                    self.queue.put(self.at_ms + in_ms, Event::Act { node: place, act });
                }
            }
            (Act::Change { about, deed, .. }, Reply::Done) => {
                let label: String = about.chars().take(14).collect();
                self.note(place, || format!("{deed:?} of {label:?}"));
            }
            (Act::Change { .. }, Reply::Refused(CommandError::Deleted | CommandError::TooOld { .. })) => {}
            (Act::Change { .. }, Reply::Refused(CommandError::NoSuchContact)) => {}
            (Act::Tell, Reply::Done) => self.checks.reading.tells(place),
            (Act::Read { whom, up_to: Some(up_to) }, Reply::Done) => self.on_read(place, whom, up_to),
            (Act::Read { .. }, Reply::Refused(CommandError::NoSuchContact)) => {}
            (Act::Block { whom, blocked }, Reply::Contact(_)) => {
                self.checks.reading.blocks(place, whom);
                self.note(place, || format!("blocks n{whom:02}: {blocked}"));
            }
            (Act::Remove { whom }, Reply::Done) => self.note(place, || format!("removes n{whom:02}")),
            (Act::Block { .. } | Act::Remove { .. }, Reply::Refused(CommandError::NoSuchContact)) => {}
            (Act::Write { to, .. }, Reply::Refused(CommandError::NoSuchContact))
                if self.checks.is_severed(place, to) => {}
            (act, Reply::Refused(CommandError::Blocked | CommandError::DiskFull { .. } | CommandError::OutboxFull)) => {
                // Nothing was sent: they try again when it may go.
                self.checks.untries(&act);
                self.act_again(place, act);
            }
            (act, Reply::Refused(error)) => self.refused(place, &format!("{act:?}"), &error.to_string()),
            (act, reply) => self.refused(place, &format!("{act:?}"), &format!("{reply:?}")),
        }
    }

    fn hand_over(&mut self, to: Place, link: String) {
        let in_ms = self.human_ms();
        self.queue.put(self.at_ms + in_ms, Event::Act { node: to, act: Act::Add { link } });
    }

    /// What a node's event log told its person, now that it is committed.
    pub(super) fn on_told(&mut self, place: Place, told: &Told) {
        match told {
            Told::ContactAdded(view) => {
                if let Some(&whom) = self.accounts.get(&view.account) {
                    self.checks.mend(self.at_ms, place, whom);
                }
                self.nodes[place].contacts.insert(view.account, view.number);
            }
            Told::ContactRemoved(number) => {
                self.nodes[place].contacts.retain(|_, contact| contact != number);
            }
            Told::ContactRequested(view) => {
                self.note(place, || format!("is asked by {:?}", view.name));
                let in_ms = self.human_ms();
                let Some(&whom) = self.accounts.get(&view.account) else { return };
                let act = Act::Accept { request: view.number, whom };
                self.queue.put(self.at_ms + in_ms, Event::Act { node: place, act });
            }
            Told::MessageReceived(view) => {
                self.note(place, || {
                    format!("reads m{} of c{} (their {})", view.number.0, view.contact.0, view.sequence)
                });
                self.checks.shown(self.at_ms, &self.nodes[place].name, place, view);
                self.plan_reading(place, view);
            }
            Told::MessageRead { number, .. } => {
                self.note(place, || format!("m{} is read", number.0));
                self.check_read(place, *number);
            }
            Told::MessageState { number, state, .. } => {
                self.note(place, || format!("m{} is {:?} {:?}", number.0, state.stage, state.reason));
                let unix_ms = self.now_of(place).unix_ms;
                self.checks.state(self.at_ms, &self.nodes[place].name, place, *number, state.stage, unix_ms);
            }
            Told::MessageDeleted { number, .. } => {
                self.note(place, || format!("m{} is gone", number.0));
                self.checks.is_gone(place, *number);
            }
            Told::Warning { code, active } => self.note(place, || format!("warning {code} {active}")),
            _ => {}
        }
    }
}
