//! Contacts, invites, and people who wrote without one.

use std::sync::Arc;

use axum::extract::State;
use starling_api::people::{
    self, AddContact, AnswerRequest, AnsweredRequest, ChangeContact, Contacts, CreateInvite, DeviceList, InspectInvite,
    InvitePreview, Invites, OneContact, Requests,
};
use starling_api::{ApiError, Code, Time, node};
use starling_messenger::turn::{Command, CommandError, ContactNumber, InviteNumber, ListChoice, Reply, RequestNumber};
use starling_messenger::view::{ContactView, InviteState, InviteView};
use starling_wire::envelope::Epoch;
use starling_wire::invite::{Invite, NEVER};
use starling_wire::limits::EPOCH_MS;
use starling_wire::network::{MAIN, NetworkParameters};

use crate::core::bridge::Clock;
use crate::core::handle::InvitePeers;
use crate::picture;
use crate::server::answer::{Answer, Fault, Json, PathId, created, done, ok};
use crate::server::app::App;
use crate::server::{convert, fault};

/// Seven days.
const INVITE_LIFETIME_S: u32 = 7 * 24 * 3_600;
/// What an invite may last: a minute to ninety days.
const INVITE_LIFETIMES_S: std::ops::RangeInclusive<u32> = 60..=90 * 24 * 3_600;

fn reach(app: &App) -> node::Reach {
    app.node.network().map_or(node::Reach::Unknown, |view| convert::reach(view.reach))
}

/// All contacts, last activity first.
pub(super) async fn all_contacts(app: &App) -> Result<Vec<ContactView>, Fault> {
    match app.ask(Command::Contacts).await? {
        Reply::Contacts(mut contacts) => {
            contacts.sort_by_key(|contact| (std::cmp::Reverse(contact.last_activity_unix_ms), contact.number));
            Ok(contacts)
        }
        _ => Err(fault::internal("contacts").into()),
    }
}

/// The contact of this number, if it is still one.
pub(super) async fn find_contact(app: &App, number: ContactNumber) -> Result<Option<ContactView>, Fault> {
    Ok(all_contacts(app).await?.into_iter().find(|contact| contact.number == number))
}

async fn one_contact(app: &App, number: ContactNumber) -> Answer {
    match find_contact(app, number).await? {
        Some(view) => ok(OneContact { contact: convert::contact(&view) }),
        None => Err(fault::command(&CommandError::NoSuchContact).into()),
    }
}

pub(crate) async fn contacts(State(app): State<Arc<App>>) -> Answer {
    ok(Contacts { contacts: all_contacts(&app).await?.iter().map(convert::contact).collect() })
}

pub(crate) async fn contact(State(app): State<Arc<App>>, PathId(id): PathId<'p'>) -> Answer {
    one_contact(&app, ContactNumber(id.0)).await
}

pub(crate) async fn add_contact(State(app): State<Arc<App>>, Json(add): Json<AddContact>) -> Answer {
    app.check_open()?;
    let invite = read_invite(&app, &add.link)?;
    let invite_key = invite.one_time_key.map(|key| key.id);
    let (peers, wanted) = (invite.peers.clone(), add.name.clone().unwrap_or_else(|| invite.name.clone()));
    let replace = add.replace.map(|id| ContactNumber(id.0));
    let command = Command::AddContact { invite: Box::new(invite), name: add.name, replace };
    let reply = app.node.command(command).await.map_err(|error| fault::unavailable(&error))?;
    if matches!(reply, Reply::Contact(_) | Reply::Refused(CommandError::AlreadyContact(_))) && !peers.is_empty() {
        // Of use even if nothing new was added: a node that is alone finds its way back by an old invite.
        app.node.add_seeds(peers).await.map_err(|error| fault::unavailable(&error))?;
    }
    match reply {
        Reply::Contact(view) => created(OneContact { contact: convert::contact(&view) }),
        Reply::Refused(CommandError::NameTaken) => Err(second_of_the_name(&app, &wanted).await?.into()),
        Reply::Refused(error) => Err(refused_invite(&app, invite_key, &error).await?.into()),
        _ => Err(fault::internal("add a contact").into()),
    }
}

/// Why an invite cannot be used. Of the own ones, those that were withdrawn are told apart.
async fn refused_invite(app: &App, key: Option<u64>, error: &CommandError) -> Result<ApiError, Fault> {
    if let (CommandError::OwnInvite, Some(key)) = (error, key) {
        let Reply::Invites(own) = app.ask(Command::Invites).await? else {
            return Err(fault::internal("invites").into());
        };
        let is_it = |view: &InviteView| {
            let made = Invite::parse(&view.link).ok().and_then(|made| made.one_time_key);
            view.state == InviteState::Revoked && made.is_some_and(|made| made.id == key)
        };
        if own.iter().any(is_it) {
            return Ok(ApiError::new(Code::InviteRevoked, "You withdrew this invite: it lets nobody in any more.")
                .hint("Make another one: starling invite"));
        }
    }
    Ok(fault::command(error))
}

/// Why an invite cannot be used here, if it cannot.
async fn problem_of(app: &App, invite: &Invite) -> Result<Option<ApiError>, Fault> {
    if !invite.is_for(&app.network.id()) {
        return Ok(Some(fault::wrong_network(network_name(invite, &app.network), &app.network.name)));
    }
    let reply = app.node.command(Command::CheckInvite(Box::new(invite.clone()))).await;
    match reply.map_err(|error| fault::unavailable(&error))? {
        Reply::Done => Ok(None),
        Reply::Refused(error) => Ok(Some(refused_invite(app, invite.one_time_key.map(|key| key.id), &error).await?)),
        _ => Err(fault::internal("inspect an invite").into()),
    }
}

/// Reads an invite and sees that it is of this network.
fn read_invite(app: &App, link: &str) -> Result<Invite, Fault> {
    let invite = Invite::parse(link).map_err(fault::invite)?;
    if !invite.is_for(&app.network.id()) {
        return Err(fault::wrong_network(network_name(&invite, &app.network), &app.network.name).into());
    }
    Ok(invite)
}

/// An invite names its network by a hash: only names that are known here can be told.
fn network_name<'a>(invite: &Invite, own: &'a NetworkParameters) -> Option<&'a str> {
    if invite.is_for(&own.id()) {
        Some(&own.name)
    } else {
        invite.is_for(&NetworkParameters::main().id()).then_some(MAIN)
    }
}

/// Another account under the name of a contact: the person must decide.
async fn second_of_the_name(app: &App, name: &str) -> Result<ApiError, Fault> {
    let contacts = all_contacts(app).await?;
    let known = contacts.iter().find(|contact| contact.name.to_lowercase() == name.to_lowercase());
    let heard = known.and_then(|contact| contact.last_heard_unix_ms).map(|at| heard(at, Clock::unix_ms_now()));
    let heard = heard.unwrap_or_else(|| "never heard".to_owned());
    let question = format!("You know an {name} ({heard}). Someone else, or {name} with a new account?");
    Ok(ApiError::new(Code::NameTaken, question)
        .hint("Someone else: starling add <invite> --name NAME. The same with a new account: starling add <invite> --replace NAME")
        .field("name"))
}

/// `heard 3 days ago`
fn heard(at_unix_ms: u64, now_unix_ms: u64) -> String {
    let minutes = now_unix_ms.saturating_sub(at_unix_ms) / 60_000;
    let (number, unit) = match minutes {
        0 => return "heard just now".to_owned(),
        1..60 => (minutes, "minute"),
        60..1_440 => (minutes / 60, "hour"),
        _ => (minutes / 1_440, "day"),
    };
    format!("heard {number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

pub(crate) async fn change_contact(
    State(app): State<Arc<App>>,
    PathId(id): PathId<'p'>,
    Json(change): Json<ChangeContact>,
) -> Answer {
    let contact = ContactNumber(id.0);
    if let Some(name) = change.name {
        app.ask(Command::RenameContact { contact, name }).await?;
    }
    if let Some(blocked) = change.blocked {
        app.ask(Command::SetBlocked { contact, blocked }).await?;
    }
    if let Some(expires_s) = change.expires_s {
        app.ask(Command::SetExpiry { contact, expires_s }).await?;
    }
    if let Some(list) = change.devices {
        let choice = match list {
            DeviceList::Known => ListChoice::Known,
            DeviceList::New => ListChoice::Other,
        };
        app.ask(Command::TrustList { contact, choice }).await?;
    }
    one_contact(&app, contact).await
}

pub(crate) async fn remove_contact(State(app): State<Arc<App>>, PathId(id): PathId<'p'>) -> Answer {
    app.ask(Command::RemoveContact(ContactNumber(id.0))).await?;
    done()
}

pub(crate) async fn invites(State(app): State<Arc<App>>) -> Answer {
    let Reply::Invites(invites) = app.ask(Command::Invites).await? else {
        return Err(fault::internal("invites").into());
    };
    let reach = reach(&app);
    ok(Invites { invites: invites.iter().map(|view| convert::invite(view, reach, None)).collect() })
}

pub(crate) async fn create_invite(State(app): State<Arc<App>>, Json(wanted): Json<CreateInvite>) -> Answer {
    app.check_open()?;
    let expires_s = wanted.expires_s.unwrap_or(INVITE_LIFETIME_S);
    if !INVITE_LIFETIMES_S.contains(&expires_s) {
        return Err(fault::bad_field("expires_s", "An invite lasts from a minute to 90 days.").into());
    }
    let InvitePeers { peers, own } = app.node.invite_peers().await.map_err(|error| fault::unavailable(&error))?;
    let reply = app.ask(Command::CreateInvite { label: wanted.for_name, expires_s, peers }).await;
    match reply.map_err(|Fault(error)| Fault(about_label(error)))? {
        Reply::Invite(view) => created(with_picture(convert::invite(&view, reach(&app), Some(own)))),
        _ => Err(fault::internal("an invite").into()),
    }
}

pub(crate) async fn invite(State(app): State<Arc<App>>, PathId(id): PathId<'i'>) -> Answer {
    let Reply::Invites(invites) = app.ask(Command::Invites).await? else {
        return Err(fault::internal("invites").into());
    };
    let found = invites.iter().find(|view| view.number == InviteNumber(id.0));
    let found = found.ok_or_else(|| fault::command(&CommandError::NoSuchInvite))?;
    ok(with_picture(convert::invite(found, reach(&app), None)))
}

/// In capitals, which QR codes hold more densely; an invite reads the same.
fn with_picture(invite: people::Invite) -> people::Invite {
    let qr_svg = picture::qr_svg(&invite.link.to_ascii_uppercase());
    people::Invite { qr_svg, ..invite }
}

/// The name that is wrong in a new invite is the one in `for`.
fn about_label(mut error: ApiError) -> ApiError {
    if error.field.as_deref() == Some("name") {
        error.field = Some("for".to_owned());
    }
    error
}

pub(crate) async fn revoke_invite(State(app): State<Arc<App>>, PathId(id): PathId<'i'>) -> Answer {
    app.ask(Command::RevokeInvite(InviteNumber(id.0))).await?;
    done()
}

pub(crate) async fn inspect_invite(State(app): State<Arc<App>>, Json(inspect): Json<InspectInvite>) -> Answer {
    app.check_open()?;
    let invite = Invite::parse(&inspect.link).map_err(fault::invite)?;
    let Reply::Address(own) = app.ask(Command::Address { peers: Vec::new() }).await? else {
        return Err(fault::internal("inspect an invite").into());
    };
    let contacts = all_contacts(&app).await?;
    let contact = contacts.iter().find(|contact| contact.account == invite.account);
    ok(InvitePreview {
        name: invite.name.clone(),
        account: convert::key(&invite.account),
        network: network_name(&invite, &app.network).map(str::to_owned),
        this_network: invite.is_for(&app.network.id()),
        one_use: invite.one_time_key.is_some(),
        expires: expiry(invite.expiry),
        expired: invite.is_expired(Epoch::from_unix_ms(Clock::unix_ms_now())),
        own: invite.account == own.account,
        contact: contact.map(convert::contact),
        peers: u32::try_from(invite.peers.len()).unwrap_or(u32::MAX),
        problem: problem_of(&app, &invite).await?,
    })
}

/// The end of the last hour in which an invite may be used.
fn expiry(last_hour: Epoch) -> Option<Time> {
    (last_hour != NEVER).then(|| Time(u64::from(last_hour.0).saturating_add(1).saturating_mul(EPOCH_MS)))
}

pub(crate) async fn requests(State(app): State<Arc<App>>) -> Answer {
    let Reply::Requests(requests) = app.ask(Command::Requests).await? else {
        return Err(fault::internal("requests").into());
    };
    ok(Requests { requests: requests.iter().map(convert::request).collect() })
}

pub(crate) async fn answer_request(
    State(app): State<Arc<App>>,
    PathId(id): PathId<'r'>,
    Json(answer): Json<AnswerRequest>,
) -> Answer {
    let AnswerRequest { accept, name } = answer;
    let contact = match app.ask(Command::AnswerRequest { request: RequestNumber(id.0), accept, name }).await? {
        Reply::Contact(view) => Some(convert::contact(&view)),
        Reply::Done => None,
        _ => return Err(fault::internal("answer a request").into()),
    };
    ok(AnsweredRequest { contact })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago_somebody_was_heard() {
        let minute = 60_000;
        for (ago_ms, text) in [
            (0, "heard just now"),
            (minute, "heard 1 minute ago"),
            (59 * minute, "heard 59 minutes ago"),
            (60 * minute, "heard 1 hour ago"),
            (3 * 1_440 * minute, "heard 3 days ago"),
        ] {
            assert_eq!(heard(1_000_000_000_000 - ago_ms, 1_000_000_000_000), text);
        }
        assert_eq!(heard(5, 0), "heard just now");
    }

    #[test]
    fn an_address_never_expires_and_an_invite_at_the_end_of_its_hour() {
        assert_eq!(expiry(NEVER), None);
        assert_eq!(expiry(Epoch(0)), Some(Time(3_600_000)));
    }

    #[test]
    fn a_bad_label_is_told_under_its_own_name() {
        let error = about_label(fault::command(&CommandError::BadName));
        assert_eq!(error.field.as_deref(), Some("for"));
    }
}
