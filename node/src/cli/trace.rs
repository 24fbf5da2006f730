//! `starling trace MESSAGE`: the life of one message, why it is where it is.

use clap::Args;
use starling_api::message::{StateName, Trace, TraceLine, TraceStep};
use starling_api::{MessageId, Versioned};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::terminal::table;
use super::{clean, follow, spans, times};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Id of the message, as `starling send` and `starling log` print it.
    message: MessageId,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let trace = context.client()?.trace(arguments.message)?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&trace))?;
        return Ok(Exit::Ok);
    }
    for line in lines(&trace) {
        terminal.line(&line)?;
    }
    Ok(Exit::Ok)
}

/// The life in words.
pub(crate) fn lines(trace: &Trace) -> Vec<String> {
    table(&rows(trace))
}

fn rows(trace: &Trace) -> Vec<Vec<String>> {
    let name = trace.contact.as_ref().map_or("the contact", |contact| contact.name.as_str());
    let mut rows: Vec<Vec<String>> = received(trace, name);
    let mut before = None;
    for line in &trace.lines {
        let Some(words) = words(line, trace, name) else { continue };
        // What is done to the bytes follows at once, and stands in the line of what they are.
        let joins = matches!(
            (before, line.step),
            (Some(TraceStep::Queued), TraceStep::Sealed)
                | (Some(TraceStep::Sealed | TraceStep::SealedAgain), TraceStep::Stamped)
        );
        match rows.last_mut().and_then(|row| row.last_mut()) {
            Some(last) if joins => last.push_str(&format!(", {words}")),
            _ => rows.push(vec![times::precise(line.time), words]),
        }
        before = Some(line.step);
    }
    rows.extend(now(trace, name).map(|words| vec!["now".to_owned(), words]));
    rows
}

/// The life of somebody else's message, as far as this node knows it.
fn received(trace: &Trace, name: &str) -> Vec<Vec<String>> {
    let Some(received) = trace.message.received else { return Vec::new() };
    let name = clean::line(name);
    let written = format!("written, by the clock of {name}'s device");
    let came = format!("came here, opened and kept; {name}'s device is told so");
    vec![vec![times::precise(trace.message.created), written], vec![times::precise(received), came]]
}

fn words(line: &TraceLine, trace: &Trace, name: &str) -> Option<String> {
    let bytes = || spans::thousands(u64::from(line.bytes.unwrap_or(0)));
    Some(match line.step {
        TraceStep::Queued => "written to disk".to_owned(),
        TraceStep::Waiting => match line.reason {
            Some(why) => format!("waits: {}", follow::reason(why, name)),
            None => "waits".to_owned(),
        },
        TraceStep::Sealed => format!("{} bytes", bytes()),
        TraceStep::SealedAgain => format!("sealed anew, {} bytes", bytes()),
        TraceStep::Stamped => {
            let took = std::time::Duration::from_millis(u64::from(line.took_ms.unwrap_or(0)));
            format!("stamp {}", spans::precise(took))
        }
        TraceStep::Pushed => "handed to a neighbour".to_owned(),
        TraceStep::Taken => "the neighbour took it".to_owned(),
        TraceStep::NotTaken => "the neighbour did not take it".to_owned(),
        TraceStep::CameBack => "came back from the network".to_owned(),
        TraceStep::Held => {
            let until = trace.message.state.until.map(|until| format!(", until {}", times::clock(until)));
            let (by, of) = (line.held_by.unwrap_or(0), line.neighbours.unwrap_or(0));
            format!("held by {by} of {}{}", super::counted(u64::from(of), "neighbour"), until.unwrap_or_default())
        }
        TraceStep::PushedAgain => "sent again, same bytes".to_owned(),
        TraceStep::Delivered => format!("delivered: {}'s device confirmed it", clean::line(name)),
        TraceStep::Read => format!("read by {}", clean::line(name)),
        TraceStep::Expired => "expired: no node keeps it any more".to_owned(),
        // Said with the present, below.
        TraceStep::NextTry | TraceStep::Other => return None,
    })
}

/// Where it is now, while something is still to come.
fn now(trace: &Trace, name: &str) -> Option<String> {
    let state = &trace.message.state;
    let is_over = matches!(state.name, StateName::Delivered | StateName::Read | StateName::Expired);
    if is_over || trace.message.received.is_some() {
        return None;
    }
    let mut parts = Vec::new();
    if let (StateName::Queued, Some(why)) = (state.name, state.reason) {
        parts.push(follow::reason(why, name));
    }
    if let Some(contact) = &trace.contact {
        parts.push(match contact.last_heard {
            Some(at) => format!("{}'s device was last heard {}", clean::line(name), times::ago(at)),
            None => format!("{}'s device was not heard yet", clean::line(name)),
        });
    }
    let next_try = trace.lines.iter().rev().find_map(|line| line.next_try);
    parts.extend(next_try.map(|at| format!("next try in {}", spans::rough(times::until(at)))));
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_reads_as_specified() {
        let line = |step: &str, extra: serde_json::Value| {
            let mut line = serde_json::json!({
                "time": "2020-11-23T14:02:11.208Z", "step": step, "reason": null, "bytes": null, "took_ms": null,
                "held_by": null, "neighbours": null, "next_try": null,
            });
            line.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            line
        };
        let none = serde_json::json!({});
        let trace: Trace = serde_json::from_value(serde_json::json!({
            "message": {
                "id": "m_7kq2", "conversation": "c_9x", "client_id": null, "from": "me", "text": "hi",
                "created": "2020-11-23T14:02:11.208Z", "received": null, "sender_clock": "ok",
                "state": {"name": "held", "since": "2020-11-23T14:04:40.000Z", "held_by": 7, "neighbours": 9, "until": null,
                          "reason": null, "attempts": 2},
                "reply_to": null, "attachments": [], "expires": null,
            },
            "contact": null,
            "lines": [
                line("queued", none.clone()), line("sealed", serde_json::json!({"bytes": 2048})),
                line("stamped", serde_json::json!({"took_ms": 210})), line("taken", none.clone()),
                line("came_back", none.clone()), line("held", serde_json::json!({"held_by": 7, "neighbours": 9})),
                line("pushed_again", none.clone()), line("a_step_of_tomorrow", none.clone()),
                line("next_try", serde_json::json!({"next_try": "2020-01-01T00:00:00.000Z"})),
            ],
        }))
        .unwrap();
        let words: Vec<String> = rows(&trace).into_iter().filter_map(|row| row.last().cloned()).collect();
        assert_eq!(
            words,
            [
                "written to disk, 2,048 bytes, stamp 0.21 s",
                "the neighbour took it",
                "came back from the network",
                "held by 7 of 9 neighbours",
                "sent again, same bytes",
                "next try in 0 s",
            ]
        );
    }
}
