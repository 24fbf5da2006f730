//! Conversations, messages and their life.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use starling_api::file::Attach;
use starling_api::message::{
    ChangeConversation, Conversation, ConversationMarks, Conversations, DeleteFor, DeleteQuery, EditMessage, MarkRead,
    Messages, MessagesQuery, React, SendMessage, Trace,
};
use starling_api::{Code, ConversationId, MessageId, Time};
use starling_messenger::change::Change;
use starling_messenger::conversation::arrange;
use starling_messenger::turn::{Command, CommandError, ContactNumber, MessageNumber, OutgoingFile, Reply, Target};
use starling_messenger::view::{self, DeliveryStage, MessageView, TraceLine, TraceStep};

use super::blobs::not_handed_in;
use super::people::{all_contacts, find_contact};
use crate::core::preferences::Preference;
use crate::server::answer::{Answer, Fault, Json, Parameters, PathId, created, ok};
use crate::server::app::App;
use crate::server::{convert, fault, reads};

/// Messages in an answer, unless told otherwise.
const MESSAGES: u32 = 50;
/// Messages in an answer at most.
const MESSAGES_MAX: u32 = 500;

pub(crate) async fn conversations(State(app): State<Arc<App>>) -> Answer {
    let preferences = app.node.preferences().map_err(|error| fault::unavailable(&error))?;
    let mut conversations = Vec::new();
    for contact in all_contacts(&app).await? {
        let mark = preferences.mark(contact.number);
        let (newest, _) = reads::newest_messages(&app, contact.number, None, 1).await?;
        let unread = match newest.first() {
            Some(newest) => reads::unread(&app, contact.number, newest, mark).await?,
            None => 0,
        };
        let ConversationMarks { id, read_up_to, muted } = convert::marks(contact.number, mark);
        let last_message = newest.first().map(convert::message);
        let contact = convert::contact(&contact);
        conversations.push(Conversation { id, contact, last_message, unread, read_up_to, muted });
    }
    ok(Conversations { conversations })
}

pub(crate) async fn mark_read(
    State(app): State<Arc<App>>,
    PathId(id): PathId<'c'>,
    Json(read): Json<MarkRead>,
) -> Answer {
    let contact = known_contact(&app, id).await?;
    // A number that no message has would hide all that will come.
    let message = reads::message(&app, MessageNumber(read.up_to.0)).await?;
    if message.contact != contact {
        return Err(fault::command(&CommandError::NoSuchMessage).into());
    }
    let preferences = app.node.preferences().map_err(|error| fault::unavailable(&error))?;
    let after = preferences.mark(contact).read_up_to;
    if after < Some(message.number) {
        // Before it counts as read here: after a crash in between it is told again, rather than never.
        let command = Command::MarkRead { contact, after, up_to: message.number };
        change(&app, command).await?;
    }
    app.prefer(Preference::Read(contact, message.number)).await?;
    present_marks(&app, contact)
}

pub(crate) async fn change_conversation(
    State(app): State<Arc<App>>,
    PathId(id): PathId<'c'>,
    Json(change): Json<ChangeConversation>,
) -> Answer {
    let contact = known_contact(&app, id).await?;
    if let Some(muted) = change.muted {
        app.prefer(Preference::Muted(contact, muted)).await?;
    }
    present_marks(&app, contact)
}

async fn known_contact(app: &App, id: ConversationId) -> Result<ContactNumber, Fault> {
    let found = find_contact(app, ContactNumber(id.0)).await?;
    found.map(|contact| contact.number).ok_or_else(|| fault::command(&CommandError::NoSuchContact).into())
}

fn present_marks(app: &App, contact: ContactNumber) -> Answer {
    let preferences = app.node.preferences().map_err(|error| fault::unavailable(&error))?;
    ok(convert::marks(contact, preferences.mark(contact)))
}

pub(crate) async fn messages(
    State(app): State<Arc<App>>,
    PathId(id): PathId<'c'>,
    Parameters(query): Parameters<MessagesQuery>,
) -> Answer {
    let limit = query.limit.unwrap_or(MESSAGES);
    if !(1..=MESSAGES_MAX).contains(&limit) {
        return Err(fault::bad_field("limit", format!("limit is 1 to {MESSAGES_MAX}.")).into());
    }
    let contact = ContactNumber(id.0);
    let before = query.before.map(|id| MessageNumber(id.0));
    let (mut messages, more) = reads::newest_messages(&app, contact, before, limit as usize).await?;
    // History outlives its contact, so only a conversation that has neither is unknown.
    if messages.is_empty() && find_contact(&app, contact).await?.is_none() {
        return Err(fault::command(&CommandError::NoSuchContact).into());
    }
    let mut earlier = messages.iter().map(|message| message.number).min().filter(|_| more);
    if let Some(since) = query.since {
        let found = messages.len();
        messages.retain(|message| came_at(message) >= since);
        if messages.len() < found {
            earlier = None;
        }
    }
    arrange(&mut messages);
    ok(Messages {
        conversation: id,
        messages: messages.iter().map(convert::message).collect(),
        before: earlier.map(|number| MessageId::new(number.0)),
    })
}

/// When a message came to be known on this computer.
fn came_at(message: &MessageView) -> Time {
    Time(message.received_unix_ms.unwrap_or(message.created_unix_ms))
}

pub(crate) async fn send(
    State(app): State<Arc<App>>,
    PathId(id): PathId<'c'>,
    Json(message): Json<SendMessage>,
) -> Answer {
    let client_id = match &message.client_id {
        Some(text) => Some(convert::uuid_bytes(text).ok_or_else(|| {
            fault::bad_field("client_id", "client_id is a UUID, e.g. 0190163d-8694-739b-aea5-966c26f8ad91.")
        })?),
        None => None,
    };
    let blob = message.attachments.first().map(|attached| attached.blob);
    let file = outgoing(&app, message.attachments, client_id.is_some())?;
    // Only what was sent before needs no bytes.
    let gone = file.as_ref().is_some_and(|file| file.bytes.is_empty());
    let command = Command::Send {
        contact: ContactNumber(id.0),
        text: message.text,
        file,
        reply_to: message.reply_to.map(|id| MessageNumber(id.0)),
        client_id,
        expires_s: message.expires_s,
    };
    let reply = app.ask(command).await.map_err(|fault| {
        // The core was given no bytes, and knows no message under that id.
        let is_empty = fault.0.code == Code::BadRequest && fault.0.field.as_deref() == Some("attachments");
        if gone && is_empty { not_handed_in() } else { fault }
    })?;
    match reply {
        // What was asked first counts, whatever this request says under the same id.
        Reply::Message { message, known: true } => match reads::message(&app, message.number).await {
            Ok(stored) => ok(convert::message(&stored)),
            // It has disappeared, and is not sent again for that.
            Err(error) if error.code == Code::NoSuchMessage => ok(convert::message(&message)),
            Err(error) => Err(error.into()),
        },
        Reply::Message { message, known: false } => {
            if let Some(blob) = blob {
                app.blobs.forget(blob);
            }
            created(convert::message(&message))
        }
        _ => Err(fault::internal("send").into()),
    }
}

/// The file that is to be sent. That of a message which was sent before is forgotten; such a message is known by its
/// `client_id`, and the core looks at nothing else.
fn outgoing(app: &App, attached: Vec<Attach>, may_be_known: bool) -> Result<Option<Box<OutgoingFile>>, Fault> {
    if attached.len() > 1 {
        let words = "A message has one file at the most. Send each in a message of its own.";
        return Err(fault::bad_field("attachments", words).into());
    }
    let Some(Attach { blob, name, voice }) = attached.into_iter().next() else { return Ok(None) };
    let bytes = app.blobs.get(blob, Instant::now());
    if bytes.is_none() && !may_be_known {
        return Err(not_handed_in());
    }
    let voice = voice.map(|voice| view::Voice { duration_ms: voice.duration_ms, peaks: voice.peaks });
    Ok(Some(Box::new(OutgoingFile { name, voice, bytes: bytes.unwrap_or_default() })))
}

pub(crate) async fn message(State(app): State<Arc<App>>, PathId(id): PathId<'m'>) -> Answer {
    ok(convert::message(&reads::message(&app, MessageNumber(id.0)).await?))
}

pub(crate) async fn react(State(app): State<Arc<App>>, PathId(id): PathId<'m'>, Json(reaction): Json<React>) -> Answer {
    let target = Box::new(Target::from(&reads::record(&app, MessageNumber(id.0)).await?));
    change(&app, Command::React { target, emoji: reaction.emoji }).await?;
    message(State(app), PathId(id)).await
}

pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    PathId(id): PathId<'m'>,
    Json(edit): Json<EditMessage>,
) -> Answer {
    let target = Box::new(Target::from(&reads::record(&app, MessageNumber(id.0)).await?));
    change(&app, Command::Edit { target, text: edit.text }).await?;
    message(State(app), PathId(id)).await
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    PathId(id): PathId<'m'>,
    Parameters(query): Parameters<DeleteQuery>,
) -> Answer {
    let mut record = reads::record(&app, MessageNumber(id.0)).await?;
    let for_both = query.for_whom.map_or(record.message.own, |whom| whom == DeleteFor::Both);
    change(&app, Command::Delete { target: Box::new(Target::from(&record)), for_both }).await?;
    if for_both {
        return message(State(app), PathId(id)).await;
    }
    // It is gone: what it was, without what it said.
    Change::deletion().apply(&mut record.message);
    ok(convert::message(&record.message))
}

/// Has the core change something about messages. It answers when the disk has it.
async fn change(app: &App, command: Command) -> Result<(), Fault> {
    match app.ask(command).await? {
        Reply::Done => Ok(()),
        _ => Err(fault::internal("change messages").into()),
    }
}

pub(crate) async fn trace(State(app): State<Arc<App>>, PathId(id): PathId<'m'>) -> Answer {
    let number = MessageNumber(id.0);
    let reply = app.node.command(Command::Trace(number)).await.map_err(|error| fault::unavailable(&error))?;
    let lines = match reply {
        Reply::Trace(lines) => lines,
        // The life of a message that is final lies in the vault.
        Reply::Refused(CommandError::NoSuchMessage) => reads::trace(&app, number).await?,
        _ => return Err(fault::internal("trace").into()),
    };
    let message = reads::message(&app, number).await?;
    let contact = find_contact(&app, message.contact).await?;
    // The core forgets a life with its end, which being read comes after.
    let read = (message.state.stage == DeliveryStage::Read).then_some(TraceStep::Read);
    let read = read.map(|step| TraceLine { at_unix_ms: message.state.since_unix_ms, step });
    ok(Trace {
        message: convert::message(&message),
        contact: contact.as_ref().map(convert::contact),
        lines: lines.iter().chain(&read).map(convert::trace_line).collect(),
    })
}
