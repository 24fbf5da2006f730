//! `starling log [NAME]`: what was said, oldest first.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use starling_api::event::EventBody;
use starling_api::message::{Message, MessagesQuery, StateName, Writer};
use starling_api::people::Contact;
use starling_api::{Client, ClientError, Code, ConversationId, EventType, MessageId, Time, Versioned};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::terminal::Paint;
use super::{clean, files, follow, names, spans, times};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// With whom [default: everybody].
    name: Option<String>,
    /// How many messages at the most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Only messages before this one.
    #[arg(long, value_name = "MESSAGE")]
    before: Option<MessageId>,
    /// Only messages since then: 2026-11-23, 2026-11-23T14:00:00Z, or 2h for the last two hours.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Mark what is shown as read.
    #[arg(long)]
    mark_read: bool,
    /// Go on with what is said from now on, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
}

/// Conversations by id: with whom.
type Names = BTreeMap<ConversationId, String>;

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let contacts = client.contacts()?.contacts;
    let seq = client.seq()?;
    let chosen = match &arguments.name {
        Some(name) => vec![names::contact(name, contacts.clone())?],
        None => contacts.clone(),
    };
    let since = arguments.since.as_deref().map(times::since).transpose()?;
    let messages = read(&client, &chosen, arguments, since)?;
    let names: Names = chosen.iter().map(|contact| (contact.conversation, contact.name.clone())).collect();
    let terminal = &context.terminal;
    match (terminal.json, arguments.follow) {
        (true, false) => terminal.object(&Versioned::new(serde_json::json!({ "messages": messages })))?,
        _ => messages.iter().try_for_each(|message| show(context, message, &names, arguments.name.is_none()))?,
    }
    if messages.is_empty() && !arguments.follow {
        terminal.note("Nothing was said yet.");
    }
    if arguments.mark_read {
        mark_read(&client, &messages)?;
    }
    if arguments.follow {
        return follow_on(context, &client, seq, names, arguments.name.is_none());
    }
    Ok(Exit::Ok)
}

/// The newest messages of all chosen conversations, in the order in which they came to this computer.
fn read(
    client: &Client,
    chosen: &[Contact],
    arguments: &Arguments,
    since: Option<Time>,
) -> Result<Vec<Message>, Failure> {
    let query = MessagesQuery { before: arguments.before, limit: Some(arguments.limit), since };
    let mut messages = Vec::new();
    for contact in chosen {
        messages.extend(client.messages(contact.conversation, &query)?.messages);
    }
    if chosen.len() > 1 {
        messages.sort_by_key(shown_at);
    }
    let surplus = messages.len().saturating_sub(arguments.limit as usize);
    Ok(messages.split_off(surplus))
}

/// The newest message of each contact that was shown, and all before it.
fn mark_read(client: &Client, messages: &[Message]) -> Result<(), Failure> {
    let mut newest: BTreeMap<ConversationId, MessageId> = BTreeMap::new();
    for message in messages.iter().filter(|message| message.from != Writer::Me) {
        let known = newest.entry(message.conversation).or_insert(message.id);
        *known = message.id.max(*known);
    }
    for (conversation, up_to) in newest {
        client.mark_read(conversation, up_to)?;
    }
    Ok(())
}

fn shown_at(message: &Message) -> Time {
    message.received.unwrap_or(message.created)
}

fn show(context: &Context, message: &Message, names: &Names, several: bool) -> Result<(), Failure> {
    let terminal = &context.terminal;
    if terminal.json {
        return terminal.object(&Versioned::new(message));
    }
    let name =
        names.get(&message.conversation).map_or_else(|| message.conversation.to_string(), |name| clean::line(name));
    let writer = match (message.from, several) {
        (Writer::Me, true) => format!("me to {name}"),
        (Writer::Me, false) => "me".to_owned(),
        (Writer::Contact(_), _) => name.clone(),
    };
    let head = format!("{}  {}  {writer}: ", message.id, times::clock(shown_at(message)));
    let text = said(message, head.chars().count());
    let state = match (message.from, message.state.name) {
        (Writer::Contact(_), _) => String::new(),
        _ if message.deleted => String::new(),
        (Writer::Me, StateName::Delivered | StateName::Read) => {
            format!("  ({} {})", message.state.name.as_str(), times::clock(message.state.since))
        }
        (Writer::Me, _) => format!("  ({})", follow::state(&message.state, &name)),
    };
    let leaves = leaves(message);
    let changes = changes(message, &name);
    let answered = message.reply_to.map(|id| format!("[answers {id}] ")).unwrap_or_default();
    terminal
        .line(&format!("{head}{answered}{text}{}", terminal.paint(Paint::Aside, &format!("{changes}{state}{leaves}"))))
}

/// What a message says; its later lines stand `indent` characters in.
pub(super) fn said(message: &Message, indent: usize) -> String {
    let file = files::told(message);
    match &message.text {
        Some(text) if text.is_empty() && file.is_some() => file.unwrap_or_default(),
        Some(text) => {
            let told = file.map(|told| format!("{told} ")).unwrap_or_default();
            format!("{told}{}", clean::text(text, indent))
        }
        None if message.deleted => "deleted".to_owned(),
        None => "(needs a newer Starling to be shown)".to_owned(),
    }
}

/// What was done to a message since it was written, in words; `name` is the contact's.
pub(super) fn changes(message: &Message, name: &str) -> String {
    let edited = if message.edited.is_some() { "  (edited)" } else { "" };
    let reactions = message.reactions.iter().map(|reaction| {
        let who = match reaction.from {
            Writer::Me => "me",
            Writer::Contact(_) => name,
        };
        format!("  [{} {who}]", clean::line(&reaction.emoji))
    });
    format!("{edited}{}", reactions.collect::<String>())
}

/// When the message disappears, in words.
fn leaves(message: &Message) -> String {
    match (message.expires, message.expires_s) {
        (Some(at), _) => format!("  (disappears in {})", spans::rough(times::until(at))),
        (None, Some(after_s)) => {
            let after = spans::rough(Duration::from_secs(u64::from(after_s)));
            format!("  (disappears {after} after its delivery)")
        }
        (None, None) => String::new(),
    }
}

fn follow_on(
    context: &Context,
    client: &Client,
    seq: Option<u64>,
    mut names: Names,
    several: bool,
) -> Result<Exit, Failure> {
    let types = [
        EventType::MessageReceived,
        EventType::MessageState,
        EventType::MessageChanged,
        EventType::MessageDeleted,
        EventType::ContactAdded,
        EventType::ContactChanged,
    ];
    let mut newest_own: Option<MessageId> = None;
    for line in client.events(seq, &types, context.time_limit())? {
        let line = match line {
            Err(ClientError::TimedOut) => return Ok(Exit::Ok),
            line => line?,
        };
        match line.event.body {
            EventBody::MessageReceived(message) if names.contains_key(&message.conversation) => {
                show(context, &message, &names, several)?;
            }
            // An own message, sent from elsewhere, appears with its first state.
            EventBody::MessageState(data)
                if data.state.name == StateName::Queued
                    && newest_own.is_none_or(|newest| newest < data.id)
                    && names.contains_key(&data.conversation) =>
            {
                newest_own = Some(data.id);
                match client.message(data.id) {
                    Ok(message) => show(context, &message, &names, several)?,
                    // It has disappeared since.
                    Err(ClientError::Api(error)) if error.code == Code::NoSuchMessage => {}
                    Err(error) => return Err(error.into()),
                }
            }
            EventBody::MessageChanged(message) if names.contains_key(&message.conversation) => {
                show(context, &message, &names, several)?;
            }
            EventBody::MessageDeleted(data) if names.contains_key(&data.conversation) => {
                context.terminal.note(&format!("{} has disappeared.", data.id));
            }
            EventBody::ContactAdded(contact) if several => {
                names.insert(contact.conversation, contact.name);
            }
            EventBody::ContactChanged(contact) => {
                names.entry(contact.conversation).and_modify(|name| *name = contact.name);
            }
            EventBody::EventsGap(_) => context.terminal.note("Some of what happened is missing here."),
            _ => {}
        }
    }
    Err(Failure::new(Exit::NoNode, "no_node", "The node stopped."))
}
