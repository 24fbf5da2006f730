//! `watch --exec`: a command for each event, one after another. The event is on its stdin as one line of JSON, and what
//! a small script needs is in its environment, so that it needs nothing to read JSON with.

use std::io::Write as _;
use std::process::{Command, Stdio};

use starling_api::event::{Event, EventBody};
use starling_api::message::Writer;

use super::failure::{Exit, Failure};
use super::terminal::Terminal;

/// Runs `command` by the shell for one event. What it prints goes where this program's words go; its failure is told
/// and ends nothing.
///
/// # Errors
/// There is no shell.
pub(crate) fn run(terminal: &Terminal, command: &str, event: &Event, line: &str) -> Result<(), Failure> {
    let mut child =
        Command::new("/bin/sh").arg("-c").arg(command).envs(variables(event)).stdin(Stdio::piped()).spawn().map_err(
            |error| Failure::new(Exit::Unexpected, "exec", format!("The shell cannot be started: {error}.")),
        )?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its stdin is no failure.
        let _ = stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n"));
    }
    match child.wait() {
        Ok(status) if status.success() => {}
        Ok(status) => terminal.note(&format!("The command for event {} ended with {status}.", event.seq)),
        Err(error) => terminal.note(&format!("The command for event {} was lost: {error}.", event.seq)),
    }
    Ok(())
}

/// `STARLING_EVENT`, `STARLING_SEQ`; of messages `STARLING_MESSAGE`, `STARLING_CONVERSATION`, `STARLING_FROM`,
/// `STARLING_TEXT`, `STARLING_FILE` (a file's name), `STARLING_STATE`.
fn variables(event: &Event) -> Vec<(&'static str, String)> {
    let mut variables =
        vec![("STARLING_EVENT", event.body.type_name().to_owned()), ("STARLING_SEQ", event.seq.to_string())];
    match &event.body {
        EventBody::MessageReceived(message) => {
            let from = match message.from {
                Writer::Me => "me".to_owned(),
                Writer::Contact(contact) => contact.to_string(),
            };
            // No variable can hold a zero byte.
            let text = message.text.as_deref().unwrap_or_default().replace('\0', "");
            variables.extend([
                ("STARLING_MESSAGE", message.id.to_string()),
                ("STARLING_CONVERSATION", message.conversation.to_string()),
                ("STARLING_FROM", from),
                ("STARLING_TEXT", text),
            ]);
            // Its bytes: starling save "$STARLING_MESSAGE" -
            variables.extend(message.attachments.first().map(|file| ("STARLING_FILE", file.name.replace('\0', ""))));
        }
        EventBody::MessageState(data) => variables.extend([
            ("STARLING_MESSAGE", data.id.to_string()),
            ("STARLING_CONVERSATION", data.conversation.to_string()),
            ("STARLING_STATE", data.state.name.as_str().to_owned()),
        ]),
        EventBody::MessageDeleted(data) => variables.extend([
            ("STARLING_MESSAGE", data.id.to_string()),
            ("STARLING_CONVERSATION", data.conversation.to_string()),
        ]),
        _ => {}
    }
    variables
}
