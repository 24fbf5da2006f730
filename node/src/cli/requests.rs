//! `starling requests`: people who wrote without an invite.

use clap::{Args, Subcommand};
use starling_api::Versioned;
use starling_api::people::{AnswerRequest, AnsweredRequest, Request};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::names::{self, Candidate};
use super::{clean, hints, times};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All that wait for an answer (the default).
    List,
    /// Make somebody a contact.
    Accept {
        /// Id of the request, or the name they gave.
        request: String,
        /// Local name [default: the one they gave].
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Forget somebody's request.
    Refuse {
        /// Id of the request, or the name they gave.
        request: String,
    },
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.action {
        None | Some(Action::List) => list(context),
        Some(Action::Accept { request, name }) => answer(context, request, true, name.clone()),
        Some(Action::Refuse { request }) => answer(context, request, false, None),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let requests = context.client()?.requests()?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&requests))?;
        return Ok(Exit::Ok);
    }
    for request in &requests.requests {
        let name = clean::line(&request.name);
        terminal.line(&format!("{}  {name}  {}", request.id, times::ago(request.received)))?;
        if let Some(text) = &request.text {
            terminal.line(&format!("    {}", clean::text(text, 4)))?;
        }
    }
    match requests.requests.first() {
        Some(request) => terminal.note(&format!("Accept: {}", hints::accept(&request.id.to_string()))),
        None => terminal.note("Nobody waits for an answer."),
    }
    Ok(Exit::Ok)
}

fn answer(context: &Context, typed: &str, accept: bool, name: Option<String>) -> Result<Exit, Failure> {
    let client = context.client()?;
    let requests = client.requests()?.requests;
    let candidate = |request: &Request| Candidate { id: request.id.to_string(), name: request.name.clone() };
    let place = names::pick(names::REQUEST, typed, &requests.iter().map(candidate).collect::<Vec<_>>())?;
    let Some(request) = requests.get(place) else { return Err(Failure::unexpected("The list of requests changed.")) };
    let contact = client.answer_request(request.id, &AnswerRequest { accept, name })?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(AnsweredRequest { contact }))?;
        return Ok(Exit::Ok);
    }
    match &contact {
        Some(contact) => {
            terminal.line(&format!("{} is a contact now.", clean::line(&contact.name)))?;
            terminal.note(&format!("Say hello: {}", hints::say_hello(&contact.name)));
        }
        None => terminal.line(&format!("The request of {} is forgotten.", clean::line(&request.name)))?,
    }
    Ok(Exit::Ok)
}
