//! `starling verify NAME`: the number, the words and the code that both sides compare; the mark that they did.
//!
//! ```text
//! Number    48832 86531 41043 33764
//!           27968 96466 97509 71290
//!           44092 22963 74654 27444
//! Words     fresh chronic crucial powder demise spoil double transfer
//! Verified  not yet
//! ```

use std::path::PathBuf;

use clap::Args;
use starling_api::people::{Contact, ContactState, Scan, Verification, Verify};
use starling_api::{Client, Versioned};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::{clean, contacts, hints, names, qr, scan, times};

/// What a verification code begins with.
const CODE_PREFIX: &str = "STARLING-VERIFY:";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Whom: local name, unique prefix, or id.
    name: String,
    /// You have compared, and it is the same on both sides.
    #[arg(long, conflicts_with_all = ["unmark", "scan"])]
    mark: bool,
    /// Drop the mark.
    #[arg(long, conflicts_with = "scan")]
    unmark: bool,
    /// A picture (PNG or JPEG) of the QR code that their side shows; the mark is set if it matches.
    #[arg(long, value_name = "FILE")]
    scan: Option<PathBuf>,
    /// Print the QR code even where the output is no terminal.
    #[arg(long)]
    qr: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let contact = names::contact(&arguments.name, client.contacts()?.contacts)?;
    let verification = match (&arguments.scan, arguments.mark || arguments.unmark) {
        (Some(picture), _) => scanned(&client, &contact, picture)?,
        (None, true) => client.verify(contact.id, &Verify { verified: Some(arguments.mark), code: None })?,
        (None, false) => client.verification(contact.id)?,
    };
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&verification))?;
        return Ok(Exit::Ok);
    }
    let name = clean::line(&contact.name);
    if arguments.scan.is_some() || arguments.mark {
        terminal.line(&format!("{name} is verified."))?;
    } else if arguments.unmark {
        terminal.line(&format!("{name} is not verified any more."))?;
    } else {
        show(context, &contact, &verification, arguments.qr)?;
    }
    if contact.state == ContactState::Forked {
        terminal.note(&contacts::forked(&contact.name));
        terminal.note(&format!("The number does not tell which is theirs. Ask, then: {}", hints::trust(&contact.name)));
    }
    Ok(Exit::Ok)
}

fn scanned(client: &Client, contact: &Contact, picture: &std::path::Path) -> Result<Verification, Failure> {
    let texts = scan::texts(picture)?;
    let name = clean::line(&contact.name);
    let is_code = |text: &&String| text.get(..CODE_PREFIX.len()).is_some_and(|t| t.eq_ignore_ascii_case(CODE_PREFIX));
    let Some(code) = texts.iter().find(is_code) else {
        let words =
            format!("The QR code in the picture is no verification code. {name} gets theirs by: starling verify");
        return Err(Failure::bad_input(words));
    };
    let verification = client.verify(contact.id, &Verify { verified: None, code: Some(code.clone()) })?;
    let (exit, code, words) = match verification.scan {
        Some(Scan::Match) => return Ok(verification),
        Some(Scan::Own) => (Exit::Usage, "own_code", format!("This is your own code. Scan the one that {name} shows.")),
        Some(Scan::OtherContact) => {
            (Exit::Usage, "other_contact", format!("This is another contact's code, not {name}'s. Nothing was marked."))
        }
        Some(Scan::Differs) | None => (
            Exit::Refused,
            "verification_differs",
            format!(
                "They differ: you and {name} do not have the same keys of each other. Somebody may sit between you, or \
                 one of you has a new account. Nothing was marked; send nothing that others must not read."
            ),
        ),
    };
    Err(Failure::new(exit, code, words).hint(hints::verify(&contact.name)))
}

/// What both sides compare, and whether they did.
pub(crate) fn lines(verification: &Verification) -> Vec<String> {
    let labels = std::iter::once("Number").chain(std::iter::repeat(""));
    let rows = verification.number.chunks(4).zip(labels);
    let mut lines: Vec<String> =
        rows.map(|(row, label)| format!("{label:<10}{}", clean::line(&row.join(" ")))).collect();
    lines.push(format!("Words     {}", clean::line(&verification.words.join(" "))));
    let verified = verification.verified_at.map_or_else(|| "not yet".to_owned(), times::clock);
    lines.push(format!("Verified  {verified}"));
    lines
}

fn show(context: &Context, contact: &Contact, verification: &Verification, force_qr: bool) -> Result<(), Failure> {
    let terminal = &context.terminal;
    lines(verification).iter().try_for_each(|line| terminal.line(line))?;
    if force_qr || (terminal.rewrites && !terminal.quiet) {
        qr::print(terminal, &verification.code)?;
    }
    let name = clean::line(&contact.name);
    terminal.note(&format!(
        "Compare the number or the words with {name} by voice or in person, or scan each other's code."
    ));
    if verification.verified_at.is_none() {
        terminal.note(&format!("The same on both sides: {}", hints::mark(&contact.name)));
    }
    Ok(())
}
