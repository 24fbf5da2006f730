//! The chat's two ways to the node, each a thread: one follows the events, from where it was when they break off; one
//! carries out requests, one after the other.

use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use starling_api::event::EventBody;
use starling_api::message::{MessagesQuery, SendMessage};
use starling_api::people::{AddContact, ChangeContact, CreateInvite};
use starling_api::{Client, Code};

use super::input::{Answer, Ask, Gone, Input, Node, Problem, Reply};
use crate::cli::connect::Context;
use crate::cli::failure::Failure;
use crate::cli::{clean, contacts, hints, invite, trace, verify};

/// Between tries to reach a node that is gone; the last one goes on.
const RETRIES_S: [u64; 4] = [1, 2, 5, 10];
/// Messages of a page of history.
const PAGE_MESSAGES: u32 = 100;

/// The core has ended.
struct Ended;

/// Why events end.
enum Broken {
    /// For the core, nothing matters any more.
    Ended,
    /// The node is gone.
    Gone(Gone),
}

impl From<Ended> for Broken {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        let is_locked = failure.code == Code::Locked.to_string();
        Self::Gone(if is_locked { Gone::Locked } else { Gone::Stopped })
    }
}

impl From<starling_api::ClientError> for Broken {
    fn from(error: starling_api::ClientError) -> Self {
        Failure::from(error).into()
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| Failure::unexpected(format!("No thread can be started: {error}")))
}

fn tell(inputs: &SyncSender<Input>, input: Input) -> Result<(), Ended> {
    inputs.send(input).map_err(|_| Ended)
}

/// Tells the core of all that happens, from now on, whatever becomes of the node.
///
/// # Errors
/// There is no thread for it.
pub(crate) fn follow(context: Context, inputs: SyncSender<Input>) -> Result<(), Failure> {
    thread("events", move || {
        let mut follower = Follower { context, inputs, seen: None, failures: 0 };
        while follower.until_it_breaks().is_ok() {}
    })
}

struct Follower {
    context: Context,
    inputs: SyncSender<Input>,
    /// Number of the last event that the core was told of.
    seen: Option<u64>,
    /// Tries in vain since the node answered.
    failures: usize,
}

impl Follower {
    fn until_it_breaks(&mut self) -> Result<(), Ended> {
        let gone = match self.follow() {
            Ok(()) => Gone::Stopped,
            Err(Broken::Ended) => return Err(Ended),
            Err(Broken::Gone(gone)) => gone,
        };
        tell(&self.inputs, Input::Gone(gone))?;
        let wait_s = RETRIES_S.get(self.failures).or(RETRIES_S.last()).copied().unwrap_or(1);
        self.failures += 1;
        std::thread::sleep(Duration::from_secs(wait_s));
        Ok(())
    }

    /// Until the node says that it stops.
    fn follow(&mut self) -> Result<(), Broken> {
        let client = self.context.client()?;
        let newest = client.seq()?.ok_or(Broken::Gone(Gone::Locked))?;
        let status = client.status()?;
        let peers = status.peers.map_or(0, |peers| peers.connected);
        // An account that was put back from a backup counts its events anew.
        let seen = self.seen.filter(|seen| *seen <= newest);
        let events = client.events(Some(seen.unwrap_or(newest)), &[], None)?;
        tell(&self.inputs, Input::Connected(Node { state: status.state.as_str(), peers }))?;
        if seen.is_none() {
            self.list(&client)?;
            self.seen = Some(newest);
        }
        self.failures = 0;
        for line in events {
            let event = line?.event;
            if matches!(event.body, EventBody::EventsGap(_)) {
                self.list(&client)?;
            } else {
                tell(&self.inputs, Input::Event(Box::new(event.body)))?;
            }
            self.seen = Some(event.seq);
        }
        Ok(())
    }

    fn list(&self, client: &Client) -> Result<(), Broken> {
        let conversations = client.conversations()?.conversations;
        Ok(tell(&self.inputs, Input::Conversations(conversations))?)
    }
}

/// Carries out what the core asks for.
///
/// # Errors
/// There is no thread for it.
pub(crate) fn answer(context: Context, asked: Receiver<Ask>, inputs: SyncSender<Input>) -> Result<(), Failure> {
    thread("requests", move || {
        for ask in asked {
            // Asked for anew each time: a node that was started again has another port and another token.
            let outcome = context.client().and_then(|client| carry_out(&client, &ask)).map_err(problem);
            if tell(&inputs, Input::Answer(Box::new(Answer { ask, outcome }))).is_err() {
                return;
            }
        }
    })
}

fn carry_out(client: &Client, ask: &Ask) -> Result<Reply, Failure> {
    Ok(match ask {
        Ask::Messages { conversation, before } => {
            let query = MessagesQuery { before: *before, limit: Some(PAGE_MESSAGES), since: None };
            Reply::Messages(client.messages(*conversation, &query)?)
        }
        Ask::Message(id) => Reply::Message(client.message(*id)?),
        Ask::Send { conversation, client_id, text } => {
            let (client_id, text) = (Some(client_id.clone()), text.clone());
            let body = SendMessage { client_id, text, ..SendMessage::default() };
            Reply::Message(client.send(*conversation, &body)?.message)
        }
        Ask::Read { conversation, up_to } => Reply::Marks(client.mark_read(*conversation, *up_to)?),
        Ask::Expires { contact, expires_s } => {
            let change = ChangeContact { expires_s: Some(*expires_s), ..ChangeContact::default() };
            let contact = client.change_contact(*contact, &change)?;
            let said = format!("What you write to {} {}.", clean::line(&contact.name), contacts::keeping(&contact));
            Reply::Contact(contact, said)
        }
        Ask::Verification(contact) => {
            let mut lines = verify::lines(&client.verification(*contact)?);
            let named = client.contacts()?.contacts.into_iter().find(|one| one.id == *contact);
            let name = named.map_or_else(|| contact.to_string(), |contact| contact.name);
            lines.extend([
                String::new(),
                format!("Compare the number or the words with {} by voice or in person.", clean::line(&name)),
                format!("The same on both sides:  {}", hints::mark(&name)),
                format!("A code to scan:          {}", hints::verify(&name)),
            ]);
            Reply::Panel { title: "Safety number".to_owned(), lines }
        }
        Ask::Trace(message) => {
            let trace = client.trace(*message)?;
            Reply::Panel { title: format!("The life of {message}"), lines: trace::lines(&trace) }
        }
        Ask::Add(link) => {
            let contact = client.add_contact(&AddContact { link: link.clone(), name: None, replace: None })?;
            Reply::Added(contact)
        }
        Ask::Invite(for_name) => {
            let made = client.create_invite(&CreateInvite { for_name: for_name.clone(), expires_s: None })?;
            let mut lines = vec![clean::line(&made.link), String::new()];
            lines.extend(invite::remarks(&made));
            Reply::Panel { title: "Invite".to_owned(), lines }
        }
    })
}

fn problem(failure: Failure) -> Problem {
    let codes =
        [Code::TimedOut, Code::Starting, Code::Stopping, Code::Locked, Code::NoToken].map(|code| code.to_string());
    let unsure = matches!(failure.code.as_str(), "no_node" | "disconnected") || codes.contains(&failure.code);
    Problem { hint: failure.next_step().map(str::to_owned), message: failure.message, unsure }
}
