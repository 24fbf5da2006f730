//! `starling watch`: everything that happens, one event a line; with `--json` the lines of the API as they are.

use clap::Args;
use starling_api::event::{Event, EventBody};
use starling_api::message::{StateName, Writer};
use starling_api::{ClientError, ContactId, ConversationId, EventType, Time};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::{clean, contacts, exec, follow, log, status, times};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Begin after the event of this number [default: from now on].
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// Only these types, e.g. message.received,message.state.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = event_type)]
    types: Vec<EventType>,
    /// Run this for each event, one after another: the event is on its stdin, and in STARLING_... variables.
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
}

fn event_type(text: &str) -> Result<EventType, String> {
    EventType::parse(text).ok_or_else(|| {
        let nearest = EventType::ALL.into_iter().min_by_key(|known| strsim::damerau_levenshtein(text, known.as_str()));
        format!("'{text}' is no type of event; did you mean {}?", nearest.map_or("node.state", |known| known.as_str()))
    })
}

/// Names of contacts, as far as events told them.
struct Names(Vec<(ContactId, ConversationId, String, Option<Time>)>);

impl Names {
    fn of(&self, conversation: ConversationId) -> String {
        let known = self.0.iter().find(|(_, known, ..)| *known == conversation);
        known.map_or_else(|| conversation.to_string(), |(_, _, name, _)| clean::line(name))
    }

    fn note(&mut self, contact: &starling_api::people::Contact) {
        self.0.retain(|(id, ..)| *id != contact.id);
        self.0.push((contact.id, contact.conversation, contact.name.clone(), contact.devices_changed));
    }

    /// Whether the contact's devices changed since it was noted last.
    fn has_new_device(&self, contact: &starling_api::people::Contact) -> bool {
        let known = self.0.iter().find(|(id, ..)| *id == contact.id).and_then(|(.., devices)| *devices);
        contact.devices_changed.is_some() && known != contact.devices_changed
    }
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let terminal = &context.terminal;
    let mut names = Names(Vec::new());
    if !terminal.json {
        client.contacts()?.contacts.iter().for_each(|contact| names.note(contact));
    }
    for line in client.events(arguments.since, &arguments.types, context.time_limit())? {
        let line = match line {
            // What was asked for: to watch for so long.
            Err(ClientError::TimedOut) => return Ok(Exit::Ok),
            line => line?,
        };
        if let Some(command) = &arguments.exec {
            exec::run(terminal, command, &line.event, &line.text)?;
        } else if terminal.json {
            terminal.line(&line.text)?;
        } else {
            terminal.line(&words(&line.event, &mut names))?;
        }
    }
    Err(Failure::new(Exit::NoNode, "no_node", "The node stopped."))
}

fn words(event: &Event, names: &mut Names) -> String {
    let Event { seq, time, body } = event;
    format!("{seq}  {}  {}  {}", times::precise(*time), clean::line(body.type_name()), what(body, names))
}

fn what(body: &EventBody, names: &mut Names) -> String {
    match body {
        EventBody::NodeState(data) => data.state.as_str().to_owned(),
        EventBody::NodePeers(data) => format!("{} connected, {} in your shard", data.connected, data.in_shard),
        EventBody::NodeReach(data) => status::reach(data.reach).to_owned(),
        EventBody::NodeWarning(data) => {
            format!("{} {}", clean::line(&data.code), if data.active { "began" } else { "is over" })
        }
        EventBody::ContactChanged(contact) if names.has_new_device(contact) => {
            names.note(contact);
            contacts::device_added(contact)
        }
        EventBody::ContactAdded(contact) | EventBody::ContactReady(contact) | EventBody::ContactChanged(contact) => {
            names.note(contact);
            format!("{} ({}), {}", clean::line(&contact.name), contact.id, super::contacts::state(contact.state))
        }
        EventBody::ContactRequested(request) => format!("{} ({})", clean::line(&request.name), request.id),
        EventBody::ContactRemoved(data) => data.id.to_string(),
        EventBody::InviteCreated(invite) | EventBody::InviteUsed(invite) | EventBody::InviteExpired(invite) => {
            let label = invite.for_name.as_deref().map(|name| format!(" for {}", clean::line(name)));
            format!("{}{}", invite.id, label.unwrap_or_default())
        }
        EventBody::MessageReceived(message) => {
            let writer = match message.from {
                Writer::Me => "me".to_owned(),
                Writer::Contact(_) => names.of(message.conversation),
            };
            format!("{} {writer}: {}", message.id, log::said(message, 4))
        }
        EventBody::MessageChanged(message) => {
            let about = log::changes(message, &names.of(message.conversation));
            format!("{}, with {}: {}{about}", message.id, names.of(message.conversation), log::said(message, 4))
        }
        EventBody::MessageState(data) => {
            let name = names.of(data.conversation);
            let held = data.state.name == StateName::Held;
            let of = if held { format!(" of {}", data.state.neighbours) } else { String::new() };
            format!("{} to {name}: {}{of}", data.id, follow::state(&data.state, &name))
        }
        EventBody::MessageDeleted(data) => format!("{}, with {}", data.id, names.of(data.conversation)),
        EventBody::ConversationRead(marks) => {
            let muted = if marks.muted { ", muted" } else { "" };
            let read = marks.read_up_to.map(|id| format!(", read up to {id}")).unwrap_or_default();
            format!("{}{read}{muted}", names.of(marks.id))
        }
        EventBody::EventsGap(data) => format!("events before {} are missing", data.oldest),
        EventBody::Unknown { data, .. } => clean::line(&data.to_string()),
    }
}
