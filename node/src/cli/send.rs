//! `starling send NAME [TEXT|-] [--file FILE]`

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use starling_api::message::{Message, QueuedReason, SendMessage, StateName};
use starling_api::people::Contact;
use starling_api::{Client, ClientError, Code, MessageId, Versioned};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::follow::{self, Goal, Line};
use super::{contacts, files, hints, names, spans};

/// Bytes of the longest text of the protocol; what fits today, the node says.
const TEXT_BYTES_MAX: usize = 64_000;
/// How long to wait for `delivered` and `read`: receipts come in batches, so that they tell nobody else when something
/// was read.
const DELIVERED_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait for anything else.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// To whom: local name, unique prefix, or id.
    name: String,
    /// The text; without it, or for '-', from stdin. Beside a file none is needed.
    text: Option<String>,
    /// A file to send, of at most 64,000 bytes. Pictures lose what they say of place, time and camera.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Return when the message is: queued, sent, held, held=N (kept by N nodes), delivered, read.
    #[arg(long, value_name = "STATE", default_value = "queued", value_parser = Goal::parse)]
    wait: Goal,
    /// Id of the message that this answers.
    #[arg(long, value_name = "MESSAGE")]
    reply_to: Option<MessageId>,
    /// How long both sides keep it once it was delivered, e.g. 1d; 'never' [default: that of the conversation].
    #[arg(long, value_name = "SPAN", value_parser = spans::parse_expiry)]
    expires: Option<u32>,
    /// A UUID of your own: sending again under it sends nothing new.
    #[arg(long, value_name = "UUID")]
    client_id: Option<String>,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let contact = names::contact(&arguments.name, client.contacts()?.contacts)?;
    if arguments.wait == Goal::Read && !client.settings()?.read_receipts {
        let words = "Read receipts are off here, so that nobody's are shown. Nothing was sent.";
        return Err(Failure::new(Exit::Refused, "receipts_off", words).hint(hints::RECEIPTS_ON));
    }
    let text = match (&arguments.file, arguments.text.as_deref()) {
        (Some(_), None | Some("")) => String::new(),
        (_, argument) => text(argument, "What should be sent? Write the text behind the name")?,
    };
    let attachments = arguments.file.iter().map(|path| files::hand_in(context, &client, path));
    let attachments = attachments.collect::<Result<Vec<_>, _>>()?;
    // Before the send, so that no state is missed.
    let since = client.seq()?;
    let started = Instant::now();
    let body = SendMessage {
        client_id: Some(arguments.client_id.clone().unwrap_or_else(new_client_id)),
        text,
        reply_to: arguments.reply_to,
        expires_s: arguments.expires,
        attachments,
    };
    let mut message = client.send(contact.conversation, &body).map_err(|error| refused(error, &contact.name))?.message;
    let terminal = &context.terminal;
    if arguments.wait == Goal::Queued {
        return queued(context, &client, &message, &contact);
    }
    let is_receipt = matches!(arguments.wait, Goal::Delivered | Goal::Read);
    let default = if is_receipt { DELIVERED_TIMEOUT } else { TIMEOUT };
    let timeout = context.timeout_or(default);
    let mut line = Line::default();
    let live = terminal.rewrites && !terminal.json && !terminal.quiet;
    let followed = follow::until(&client, &mut message, &contact, arguments.wait, since, timeout, |state| {
        line.note(state, started.elapsed());
        if live { terminal.part(&format!("\r{}\u{1b}[K", line.text())) } else { Ok(()) }
    });
    if terminal.json {
        followed?;
        terminal.object(&Versioned::new(serde_json::json!({ "message": message })))?;
        return Ok(Exit::Ok);
    }
    // Where it got to is the result, also when that is not far enough.
    terminal.line(&if live { String::new() } else { line.text() })?;
    followed?;
    if message.state.name == StateName::Held {
        terminal.note(&follow::held(&message.state, &contact));
    }
    Ok(Exit::Ok)
}

/// The node knows no names of commands; who is blocked can be unblocked by name.
fn refused(error: ClientError, name: &str) -> Failure {
    match error {
        ClientError::Api(error) if error.code == Code::ContactBlocked && error.hint.is_none() => {
            Failure::from(error).hint(hints::unblock(name))
        }
        other => other.into(),
    }
}

fn queued(context: &Context, client: &Client, message: &Message, contact: &Contact) -> Result<Exit, Failure> {
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(serde_json::json!({ "message": message })))?;
        return Ok(Exit::Ok);
    }
    terminal.line(&format!("{} {}", message.state.name.as_str(), message.id))?;
    if let Some(why) = message.state.reason {
        let words = match why {
            QueuedReason::WaitingForKeys => contacts::waiting_for_keys(contact, contacts::asked(client)),
            why => follow::reason(why, &contact.name),
        };
        terminal.note(&format!("queued: {words}"));
        terminal.note(&format!("  {}", hints::trace(&message.id.to_string())));
    }
    Ok(Exit::Ok)
}

fn too_long(bytes: usize) -> Failure {
    let size = spans::thousands(bytes as u64);
    Failure::new(Exit::Usage, "too_large", format!("The text has {size} bytes or more; at most 64,000 fit a message."))
}

/// The text of an argument, or of stdin; `question` is for whoever gave none.
pub(super) fn text(argument: Option<&str>, question: &str) -> Result<String, Failure> {
    let text = match argument {
        Some(text) if text != "-" => text.to_owned(),
        dash => {
            if dash.is_none() && std::io::stdin().is_terminal() {
                return Err(Failure::bad_input(format!("{question}, or '-' to type it in.")));
            }
            piped()?
        }
    };
    if text.trim().is_empty() {
        return Err(Failure::bad_input("The text is empty."));
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(too_long(text.len()));
    }
    Ok(text)
}

/// Stdin without its last line end.
fn piped() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let room = TEXT_BYTES_MAX as u64 + 2;
    let read = std::io::stdin().lock().take(room).read_to_end(&mut bytes);
    read.map_err(|error| Failure::bad_input(format!("No text could be read: {error}")))?;
    let mut text =
        String::from_utf8(bytes).map_err(|_| Failure::bad_input("What came on stdin is not text in UTF-8."))?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
    Ok(text)
}

/// A random UUID (version 4, RFC 9562): a call that is repeated by a layer below sends nothing twice.
pub(crate) fn new_client_id() -> String {
    let random: u128 = rand::random();
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default().to_owned());
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_are_uuids_and_differ() {
        let (one, two) = (new_client_id(), new_client_id());
        assert_ne!(one, two);
        for id in [one, two] {
            assert_eq!(id.len(), 36);
            assert_eq!(id.as_bytes()[14], b'4');
            assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        }
    }
}
