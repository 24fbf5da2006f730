//! `starling contacts`: the people one can write to.

use std::time::Duration;

use clap::{Args, Subcommand};
use starling_api::people::{ChangeContact, Contact, ContactState, DeviceList, OneContact};
use starling_api::{Client, Versioned};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::terminal::table;
use super::{clean, counted, hints, names, spans, times};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All contacts, last activity first (the default).
    List,
    /// Everything known about one.
    Show {
        /// Local name, unique prefix, or id.
        name: String,
    },
    /// Give one another local name.
    Rename {
        /// Local name, unique prefix, or id.
        name: String,
        /// The new name.
        new_name: String,
    },
    /// Forget one and its keys; the history stays.
    Remove {
        /// Local name, unique prefix, or id.
        name: String,
    },
    /// Show nothing of theirs any more.
    Block {
        /// Local name, unique prefix, or id.
        name: String,
    },
    /// Decide between two device lists that carry their signature; ask them first which device is theirs.
    Trust {
        /// Local name, unique prefix, or id.
        name: String,
        /// Trust the list that came later, not the one known before.
        #[arg(long)]
        new: bool,
    },
    /// Have both sides delete what you write to them a while after its delivery.
    Expires {
        /// Local name, unique prefix, or id.
        name: String,
        /// How long messages are kept, e.g. 1d; 'never' to keep them.
        #[arg(value_parser = spans::parse_expiry)]
        span: u32,
    },
    /// End a block.
    Unblock {
        /// Local name, unique prefix, or id.
        name: String,
    },
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let find = |name: &str| names::contact(name, client.contacts()?.contacts);
    match &arguments.action {
        None | Some(Action::List) => list(context, &client),
        Some(Action::Show { name }) => show(context, &client, &find(name)?),
        Some(Action::Rename { name, new_name }) => {
            let before = find(name)?;
            let after =
                change(&client, &before, ChangeContact { name: Some(new_name.clone()), ..ChangeContact::default() })?;
            let words = format!("{} is now called {}.", clean::line(&before.name), clean::line(&after.name));
            changed(context, after, &words)
        }
        Some(Action::Block { name }) => {
            let after =
                change(&client, &find(name)?, ChangeContact { blocked: Some(true), ..ChangeContact::default() })?;
            let words = format!("{} is blocked. Undo: {}", clean::line(&after.name), hints::unblock(&after.name));
            changed(context, after, &words)
        }
        Some(Action::Unblock { name }) => {
            let after =
                change(&client, &find(name)?, ChangeContact { blocked: Some(false), ..ChangeContact::default() })?;
            let words = format!("{} is not blocked any more.", clean::line(&after.name));
            changed(context, after, &words)
        }
        Some(Action::Expires { name, span }) => {
            let after =
                change(&client, &find(name)?, ChangeContact { expires_s: Some(*span), ..ChangeContact::default() })?;
            let words = format!("What you write to {} {}.", clean::line(&after.name), keeping(&after));
            changed(context, after, &words)
        }
        Some(Action::Trust { name, new }) => trust(context, &client, &find(name)?, *new),
        Some(Action::Remove { name }) => {
            let contact = find(name)?;
            client.remove_contact(contact.id)?;
            let words = format!("{} is removed. The history stays.", clean::line(&contact.name));
            changed(context, contact, &words)
        }
    }
}

fn change(client: &Client, contact: &Contact, change: ChangeContact) -> Result<Contact, Failure> {
    Ok(client.change_contact(contact.id, &change)?)
}

fn changed(context: &Context, contact: Contact, words: &str) -> Result<Exit, Failure> {
    if context.terminal.json {
        context.terminal.object(&Versioned::new(OneContact { contact }))?;
    } else {
        context.terminal.line(words)?;
    }
    Ok(Exit::Ok)
}

fn trust(context: &Context, client: &Client, before: &Contact, new: bool) -> Result<Exit, Failure> {
    let list = if new { DeviceList::New } else { DeviceList::Known };
    let after = change(client, before, ChangeContact { devices: Some(list), ..ChangeContact::default() })?;
    let name = clean::line(&after.name);
    let words = match (before.state == ContactState::Forked, new) {
        (false, _) => format!("{name} has one device list: there is nothing to decide."),
        (true, false) => format!("The device of {name}'s that was known before is trusted; the other one is not."),
        (true, true) => format!("The device of {name}'s that came later is trusted; the one known before is not."),
    };
    changed(context, after, &words)
}

/// What a fork means, as `status` says it.
pub(crate) fn forked(name: &str) -> String {
    let name = clean::line(name);
    format!("Two device lists carry {name}'s signature: their keys may be copied. Nothing is sent until you decide.")
}

/// Age of a contact after which its invite may be to blame that its keys do not come.
const KEYS_LATE: Duration = Duration::from_secs(86_400);

/// Nodes that are asked for keys: those that are connected.
pub(crate) fn asked(client: &Client) -> u32 {
    client.status().ok().and_then(|status| status.peers).map_or(0, |peers| peers.connected)
}

/// Why nothing can be sealed for a contact yet, after `asked` nodes were asked for its keys.
pub(crate) fn waiting_for_keys(contact: &Contact, asked: u32) -> String {
    let name = clean::line(&contact.name);
    let asked = match asked {
        0 => return format!("waiting for {name}'s keys: no peers yet."),
        asked => counted(u64::from(asked), "node"),
    };
    let end = if times::age(contact.added) > KEYS_LATE {
        format!(", or ask {name} for a new invite: this one may be used up or withdrawn.")
    } else {
        ".".to_owned()
    };
    format!("waiting for {name}'s keys: asked {asked}. {name}'s node must come online once{end}")
}

/// What a new device of a contact's means.
pub(crate) fn device_added(contact: &Contact) -> String {
    format!("{} added a device; their number is unchanged", clean::line(&contact.name))
}

/// The state in words.
pub(crate) fn state(state: ContactState) -> &'static str {
    match state {
        ContactState::Invited => "invited",
        ContactState::WaitingForKeys => "waiting for their keys",
        ContactState::Ready => "ready",
        ContactState::Forked => "two device lists: nothing is sent",
        ContactState::Blocked => "blocked",
    }
}

fn heard(contact: &Contact) -> String {
    contact.last_heard.map_or_else(|| "not heard yet".to_owned(), |at| format!("heard {}", times::ago(at)))
}

fn list(context: &Context, client: &Client) -> Result<Exit, Failure> {
    let contacts = client.contacts()?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&contacts))?;
        return Ok(Exit::Ok);
    }
    let row = |contact: &Contact| {
        let mark = match (contact.verified_at, contact.mark_lost) {
            (Some(_), _) => ", verified",
            (None, true) => ", verified no more",
            (None, false) => "",
        };
        let state = format!("{}{mark}", state(contact.state));
        vec![clean::line(&contact.name), state, heard(contact), contact.id.to_string()]
    };
    for line in table(&contacts.contacts.iter().map(row).collect::<Vec<_>>()) {
        terminal.line(&line)?;
    }
    if contacts.contacts.is_empty() {
        terminal.note("No contacts yet. Nobody can find you unless you invite them.");
        terminal.note(&format!("  invite a friend     {}", hints::INVITE));
        terminal.note(&format!("  you have an invite  {}", hints::ADD));
    }
    Ok(Exit::Ok)
}

fn show(context: &Context, client: &Client, contact: &Contact) -> Result<Exit, Failure> {
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(OneContact { contact: contact.clone() }))?;
        return Ok(Exit::Ok);
    }
    terminal.line(&format!("Name     {}", clean::line(&contact.name)))?;
    terminal.line(&format!("State    {}", state(contact.state)))?;
    terminal.line(&format!("Heard    {}", contact.last_heard.map_or_else(|| "not yet".to_owned(), times::ago)))?;
    terminal.line(&format!("Added    {}", times::clock(contact.added)))?;
    terminal.line(&format!("Verified {}", verified(contact)))?;
    if let Some(at) = contact.devices_changed {
        terminal.line(&format!("Devices  {} ({})", device_added(contact), times::clock(at)))?;
    }
    terminal.line(&format!("Writing  {}", keeping(contact)))?;
    terminal.line(&format!("Account  {}", clean::line(&contact.account)))?;
    terminal.line(&format!("Id       {}", contact.id))?;
    if contact.state == ContactState::WaitingForKeys {
        terminal.note(&waiting_for_keys(contact, asked(client)));
    }
    if contact.state == ContactState::Forked {
        terminal.note(&forked(&contact.name));
        terminal.note(&format!("Ask which device is theirs, then: {}", hints::trust(&contact.name)));
    }
    Ok(Exit::Ok)
}

/// How long messages are kept, in words.
pub(crate) fn keeping(contact: &Contact) -> String {
    match contact.expires_s {
        Some(expires_s) => {
            format!(
                "disappears {} after its delivery, on both sides",
                spans::rough(Duration::from_secs(u64::from(expires_s)))
            )
        }
        None => "stays".to_owned(),
    }
}

fn verified(contact: &Contact) -> String {
    match (contact.verified_at, contact.mark_lost) {
        (Some(at), _) => times::clock(at),
        (None, true) => "no more: there is a new account since".to_owned(),
        (None, false) => "not yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(age: Duration) -> Contact {
        let added = starling_api::Time(times::now().0 - u64::try_from(age.as_millis()).unwrap());
        serde_json::from_value(serde_json::json!({
            "id": "p_1", "name": "Ana", "state": "waiting_for_keys", "conversation": "c_1", "account": "00", "added": added,
            "last_heard": null, "last_activity": added, "verified_at": null, "mark_lost": false, "devices_changed": null,
        }))
        .unwrap()
    }

    #[test]
    fn who_waits_for_keys_hears_who_was_asked_and_after_a_day_what_else_to_do() {
        let young = contact(Duration::from_secs(3_600));
        let words = "waiting for Ana's keys: asked 6 nodes. Ana's node must come online once.";
        assert_eq!(waiting_for_keys(&young, 6), words);
        assert_eq!(waiting_for_keys(&young, 0), "waiting for Ana's keys: no peers yet.");
        let words = "waiting for Ana's keys: asked 1 node. Ana's node must come online once, or ask Ana for a new invite: \
                     this one may be used up or withdrawn.";
        assert_eq!(waiting_for_keys(&contact(KEYS_LATE + Duration::from_secs(60)), 1), words);
    }
}
