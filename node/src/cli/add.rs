//! `starling add INVITE`: uses an invite, and shows how the first contact comes about:
//! `Added Ana. Connecting... 1 peer... waiting for Ana's keys... ready. (4 s)`

use std::io::Read as _;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use starling_api::event::EventBody;
use starling_api::people::{AddContact, Contact, ContactState, OneContact};
use starling_api::{Client, ClientError, EventType, Versioned};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::{clean, contacts, counted, hints, names, spans};

/// Bytes of a pasted invite with all that mail programs put around it.
const LINK_BYTES_MAX: u64 = 64 * 1024;
/// How long to wait for the keys.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The invite (starling:...); without it, or for '-', from stdin.
    invite: Vec<String>,
    /// Local name [default: the one in the invite].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// It is this contact with a new account: the history stays, the verified mark is dropped, and what the old account
    /// did not confirm is given up.
    #[arg(long, value_name = "NAME")]
    replace: Option<String>,
    /// Return when messages can be sealed (ready; fails with 7 if that takes longer than --timeout), or at once (none).
    #[arg(long, value_name = "STATE")]
    wait: Option<Wait>,
}

/// `--wait`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wait {
    /// The contact's keys came.
    Ready,
    /// Do not wait.
    None,
}

/// How the wait for the keys ended.
enum Waited {
    Ready(Contact),
    /// Still without keys; so many peers were asked.
    Late(u32),
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let link = link(&arguments.invite)?;
    let since = client.seq()?;
    let started = Instant::now();
    let replace = match &arguments.replace {
        Some(name) => Some(names::contact(name, client.contacts()?.contacts)?.id),
        None => None,
    };
    let contact = client.add_contact(&AddContact { link, name: arguments.name.clone(), replace })?;
    let progress = Progress { context, started };
    progress.say(&format!("Added {}. ", clean::line(&contact.name)))?;
    if arguments.wait == Some(Wait::None) {
        return done(&progress, contact, "");
    }
    if contact.state != ContactState::WaitingForKeys {
        return done(&progress, contact, "");
    }
    match wait(&client, &contact, since, &progress)? {
        Waited::Ready(contact) => {
            let took = spans::precise(started.elapsed());
            done(&progress, contact, &format!("ready. ({took})  "))
        }
        Waited::Late(asked) => late(&progress, contact, asked, arguments.wait == Some(Wait::Ready)),
    }
}

/// The growing line; silent for programs.
struct Progress<'context> {
    context: &'context Context,
    started: Instant,
}

impl Progress<'_> {
    fn say(&self, words: &str) -> Result<(), Failure> {
        let terminal = &self.context.terminal;
        if terminal.json || terminal.quiet { Ok(()) } else { terminal.part(words) }
    }
}

fn link(words: &[String]) -> Result<String, Failure> {
    let given = words.join(" ");
    if !given.is_empty() && given != "-" {
        return Ok(given);
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(LINK_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::bad_input(format!("No invite could be read: {error}")))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if text.trim().is_empty() {
        return Err(Failure::bad_input("There is no invite. Give it as an argument or on stdin."));
    }
    Ok(text)
}

fn done(progress: &Progress<'_>, contact: Contact, ready: &str) -> Result<Exit, Failure> {
    let terminal = &progress.context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(OneContact { contact }))?;
    } else if terminal.quiet {
        terminal.line(&contact.id.to_string())?;
    } else {
        terminal.line(&format!("{ready}Say hello: {}", hints::say_hello(&contact.name)))?;
    }
    Ok(Exit::Ok)
}

/// Waits for the keys. What is told on the way is what really happened, in this order.
fn wait(client: &Client, contact: &Contact, since: Option<u64>, progress: &Progress<'_>) -> Result<Waited, Failure> {
    let timeout = progress.context.timeout_or(TIMEOUT);
    let mut peers = client.status()?.peers.map_or(0, |peers| peers.connected);
    let keys = format!("waiting for {}'s keys... ", clean::line(&contact.name));
    match peers {
        0 => progress.say("Connecting... ")?,
        _ => progress.say(&keys)?,
    }
    let remaining = timeout.saturating_sub(progress.started.elapsed());
    let types = [EventType::ContactReady, EventType::NodePeers];
    for line in client.events(since, &types, Some(remaining.max(Duration::from_millis(1))))? {
        let body = match line {
            Ok(line) => line.event.body,
            Err(ClientError::TimedOut) => break,
            Err(error) => return Err(error.into()),
        };
        match body {
            EventBody::ContactReady(ready) if ready.id == contact.id => return Ok(Waited::Ready(ready)),
            EventBody::NodePeers(data) => {
                if peers == 0 && data.connected > 0 {
                    progress.say(&format!("{}... {keys}", counted(u64::from(data.connected), "peer")))?;
                }
                peers = data.connected;
            }
            _ => {}
        }
    }
    Ok(Waited::Late(peers))
}

/// The keys did not come yet. That is no failure, unless they were asked for.
fn late(progress: &Progress<'_>, contact: Contact, asked: u32, wanted: bool) -> Result<Exit, Failure> {
    let terminal = &progress.context.terminal;
    let words = contacts::waiting_for_keys(&contact, asked);
    progress.say("\n")?;
    if wanted {
        let failure = Failure::new(Exit::NotInTime, "timed_out", words);
        return Err(failure.detail("contact", contact.id.to_string()).detail("asked", asked));
    }
    if terminal.json {
        terminal.object(&Versioned::new(OneContact { contact }))?;
    } else if terminal.quiet {
        terminal.line(&contact.id.to_string())?;
    } else {
        terminal.line(&words)?;
    }
    Ok(Exit::Ok)
}
