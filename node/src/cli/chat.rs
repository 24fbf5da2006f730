//! `starling chat [NAME]`: a conversation in the terminal. The list of contacts on the left, what was said and what is
//! being written on the right; below sixty columns one of the two. SPEC: product, CLI.
//!
//! ```text
//! keyboard thread ─┐                                  ┌─> screen, drawn after each input
//! events thread  ──┼─> one bounded channel ─> State ──┤
//! request thread ──┘         of inputs        (pure)  └─> requests ─> request thread ─> the node
//! ```
//!
//! The core (`state`, and what it is made of) knows nothing of a terminal or a network, so that all that it does can
//! be tested. No key ever waits for the node.

mod commands;
mod composer;
mod glyphs;
mod input;
mod keys;
mod layout;
mod news;
mod node;
mod rows;
#[cfg(test)]
mod samples;
mod screen;
mod state;
mod talk;
mod view;
mod words;

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError, TrySendError};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::tz::TimeZone;
use starling_api::node::NodeState;
use starling_api::{Client, ConversationId};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::secret::Source;
use super::{names, send, times, unlock};
use input::{Answer, Ask, Effect, Input, Problem};
use screen::Screen;
use state::State;
use view::Theme;

/// Inputs that wait for the core; whoever brings more waits.
const INPUTS_MAX: usize = 256;
/// Inputs that are taken before the screen is drawn again, so that it is drawn while many come.
const INPUTS_AT_ONCE_MAX: usize = 64;
/// Requests that wait for the node.
const REQUESTS_MAX: usize = 256;
/// How long a node may take to open its files.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at whether it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often what is said relative to now is said anew.
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// With whom: local name, unique prefix, or id [default: who wrote last].
    name: Option<String>,
    /// Use the mouse: the wheel scrolls, a click chooses. Selecting text with it then needs Shift.
    #[arg(long)]
    mouse: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    if context.terminal.json {
        let words = "'chat' is for people, and has no --json. Programs use: starling watch --json";
        return Err(Failure::new(Exit::Usage, "usage", words));
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let words = "'chat' needs a terminal. Elsewhere there are: starling send, and: starling log --follow";
        return Err(Failure::new(Exit::Usage, "usage", words));
    }
    let client = open(context)?;
    let open = match &arguments.name {
        Some(name) => Some(names::contact(name, client.contacts()?.contacts)?.conversation),
        None => None,
    };
    converse(context, open, arguments.mouse)
}

/// A client of a node whose vault is open: a locked one asks for its passphrase first.
fn open(context: &Context) -> Result<Client, Failure> {
    let client = context.client()?;
    if client.health()?.state == NodeState::Locked {
        unlock::open(context, &client, Source::Prompt)?;
    }
    // For a moment after the right passphrase it is still locked.
    let deadline = Instant::now() + context.timeout_or(OPEN_TIMEOUT);
    while client.seq()?.is_none() {
        if Instant::now() >= deadline {
            return Err(Failure::new(Exit::NotInTime, "timed_out", "The node did not open its files in time."));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(client)
}

fn converse(context: &Context, open: Option<ConversationId>, mouse: bool) -> Result<Exit, Failure> {
    let theme = Theme { colors: context.terminal.colors() };
    let (inputs, heard) = mpsc::sync_channel(INPUTS_MAX);
    let (requests, asked) = mpsc::sync_channel(REQUESTS_MAX);
    let mut screen = Screen::enter(mouse)?;
    screen::read_keys(inputs.clone())?;
    node::follow(context.clone(), inputs.clone())?;
    node::answer(context.clone(), asked, inputs)?;
    let zone = TimeZone::system();
    let mut state = State::new(screen.size()?, times::now(), zone, open, Box::new(send::new_client_id));
    loop {
        screen.draw(|buffer| view::draw(&state, theme, buffer))?;
        let Some(batch) = next(&heard) else {
            return Err(Failure::unexpected("The keyboard can not be read any more."));
        };
        let mut effects: VecDeque<Effect> =
            batch.into_iter().flat_map(|input| state.update(input, times::now())).collect();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Quit => return Ok(Exit::Ok),
                Effect::Redraw => screen.clear()?,
                Effect::Ask(ask) => {
                    if let Err(TrySendError::Full(ask) | TrySendError::Disconnected(ask)) = requests.try_send(ask) {
                        effects.extend(state.update(refused(ask), times::now()));
                    }
                }
            }
        }
    }
}

/// No request waits for room, as the core would wait with it, and who makes room waits for the core.
fn refused(ask: Ask) -> Input {
    let message = "Too many requests wait for the node.".to_owned();
    Input::Answer(Box::new(Answer { ask, outcome: Err(Problem { message, hint: None, unsure: false }) }))
}

/// What came, at least one input; nothing when nobody brings any more.
fn next(heard: &Receiver<Input>) -> Option<Vec<Input>> {
    let first = match heard.recv_timeout(MINUTE) {
        Ok(input) => input,
        Err(RecvTimeoutError::Timeout) => Input::Minute,
        Err(RecvTimeoutError::Disconnected) => return None,
    };
    let mut batch = vec![first];
    while batch.len() < INPUTS_AT_ONCE_MAX {
        match heard.try_recv() {
            Ok(input) => batch.push(input),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    Some(batch)
}
