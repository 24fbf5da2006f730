//! Traces of whole conversations, shared with the reference model in `tests/reference` (whose README.md describes the
//! format): each side replays byte for byte what the other has produced.
//!
//! `cargo run -p starling-e2ee --example trace -- produce SEED FILE` writes a trace;
//! `... -- replay FILE...` exits with 1 if one of the files comes out otherwise, and with 2 if it is used wrongly.

mod document;
mod draws;
mod produce;
mod world;

use std::process::ExitCode;

use document::{Document, Mismatch};
use world::World;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["produce", seed, path] => match seed.parse() {
            Ok(seed) => write(&produce::produce(seed), path),
            Err(_) => usage(),
        },
        ["replay", paths @ ..] if !paths.is_empty() => replay_all(paths),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: trace produce SEED FILE | trace replay FILE...");
    ExitCode::from(2)
}

fn write(document: &Document, path: &str) -> ExitCode {
    let text = serde_json::to_string_pretty(document).expect("a document is plain data");
    match std::fs::write(path, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn replay_all(paths: &[&str]) -> ExitCode {
    let mut failed = false;
    for path in paths {
        match std::fs::read_to_string(path).map_err(|error| Mismatch(error.to_string())).and_then(|text| replay(&text))
        {
            Ok(events) => println!("replayed {path}: {events} events"),
            Err(Mismatch(reason)) => {
                failed = true;
                println!("FAILED {path}: {reason}");
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// How many events came out as the trace says, or the first that did not.
fn replay(text: &str) -> Result<usize, Mismatch> {
    let document: Document = serde_json::from_str(text).map_err(|error| Mismatch(format!("not a trace: {error}")))?;
    let mut world = World::new(&document)?;
    for (at, event) in document.events.iter().enumerate() {
        let name = event.operation.name();
        let got = world
            .replay(at, &event.operation)
            .map_err(|Mismatch(reason)| Mismatch(format!("event {at}, {name}: {reason}")))?;
        if got != event.expect {
            return Err(Mismatch(format!(
                "event {at}, {name}: {}",
                document::difference(&got, &event.expect, "result")
            )));
        }
    }
    Ok(document.events.len())
}
