//! `starling doctor`: what is wrong, why, and what to do next. What is as it should be stands in one line.

use clap::Args;
use starling_api::Versioned;
use starling_api::doctor::{Check, Doctor, Verdict};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::terminal::Paint;
use super::{clean, names};

/// Columns of a line of what is as it should be.
const COLUMNS: usize = 100;
/// Columns before what was found: the verdict.
const INDENT: usize = 6;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Of contacts and messages, only this one's, each message by itself: local name, unique prefix, or id.
    #[arg(long, value_name = "NAME")]
    contact: Option<String>,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let contact = match &arguments.contact {
        Some(name) => Some(names::contact(name, client.contacts()?.contacts)?.id),
        None => None,
    };
    let doctor = client.doctor(contact)?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&doctor))?;
    } else {
        for (paint, line) in lines(&doctor) {
            terminal.line(&terminal.paint(paint, &line))?;
        }
    }
    Ok(if doctor.verdict == Verdict::Fail { Exit::Degraded } else { Exit::Ok })
}

/// What is as it should be in one line, then what is not, the worst first, each with what to do next below it.
fn lines(doctor: &Doctor) -> Vec<(Paint, String)> {
    let of = |verdict: Verdict| doctor.checks.iter().filter(move |check| check.verdict == verdict);
    let fine: Vec<String> = of(Verdict::Ok).map(|check| clean::line(&check.message)).collect();
    let mut lines = Vec::new();
    if !fine.is_empty() {
        lines.extend(wrapped(Verdict::Ok, &fine.join(", ")).into_iter().map(|line| (Paint::Good, line)));
    }
    for check in of(Verdict::Fail).chain(of(Verdict::Warn)) {
        lines.extend(trouble(check).into_iter().map(|line| (Paint::Attention, line)));
    }
    lines
}

fn trouble(check: &Check) -> Vec<String> {
    let first = format!("{:<INDENT$}{}", check.verdict.as_str(), clean::line(&check.message));
    let next = check.next.iter().map(|next| format!("{:INDENT$}{}", "", clean::line(next)));
    std::iter::once(first).chain(next).collect()
}

/// `text` in lines of [`COLUMNS`], broken between words, the verdict before the first.
fn wrapped(verdict: Verdict, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = format!("{:<INDENT$}", verdict.as_str());
    for word in text.split(' ') {
        if line.trim_end().chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(INDENT);
        }
        line.push_str(word);
        line.push(' ');
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use starling_api::doctor::CheckName;

    use super::*;

    fn check(verdict: Verdict, message: &str, next: &[&str]) -> Check {
        let next = next.iter().map(|next| (*next).to_owned()).collect();
        Check { name: CheckName::Peers, verdict, message: message.to_owned(), next }
    }

    #[test]
    fn it_reads_as_specified() {
        let doctor = Doctor {
            verdict: Verdict::Fail,
            checks: vec![
                check(Verdict::Ok, "node runs", &[]),
                check(Verdict::Warn, "2 messages to Bob\u{7} are not delivered", &[]),
                check(Verdict::Ok, "clock +0.1 s", &[]),
                check(Verdict::Fail, "nobody can connect to you", &["forward UDP+TCP 7828", "or keep one friend"]),
            ],
        };
        let lines: Vec<String> = lines(&doctor).into_iter().map(|(_, line)| line).collect();
        assert_eq!(
            lines,
            [
                "ok    node runs, clock +0.1 s",
                "fail  nobody can connect to you",
                "      forward UDP+TCP 7828",
                "      or keep one friend",
                "warn  2 messages to Bob<U+0007> are not delivered",
            ]
        );
    }

    #[test]
    fn a_long_line_is_broken_between_words() {
        let lines = wrapped(Verdict::Ok, &["a word"; 40].join(", "));
        assert!(lines.len() == 4 && lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:#?}");
        assert!(lines[0].starts_with("ok    a word") && lines[1].starts_with("      "), "{lines:#?}");
    }
}
