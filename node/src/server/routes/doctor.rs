//! `GET /v1/doctor`: measures, and lets [`crate::server::doctor`] say what it means.

use std::sync::Arc;

use axum::extract::State;
use starling_api::doctor::DoctorQuery;
use starling_messenger::turn::{Command, CommandError, ContactNumber, Reply};
use starling_messenger::view::{InviteState, InviteView};
use starling_wire::invite::Invite;

use super::node::core_status;
use super::people::all_contacts;
use crate::core::bridge::Clock;
use crate::core::handle::Unavailable;
use crate::server::answer::{Answer, Fault, Parameters, ok};
use crate::server::app::App;
use crate::server::doctor::{CoreFacts, Facts, OpenInvite, examine};
use crate::server::fault;

pub(crate) async fn doctor(State(app): State<Arc<App>>, Parameters(query): Parameters<DoctorQuery>) -> Answer {
    let about = query.contact.map(|id| ContactNumber(id.0));
    let core = match app.node.reader() {
        Ok(_) => Some(core_facts(&app).await?),
        Err(Unavailable::Locked | Unavailable::Starting | Unavailable::Stopping | Unavailable::Busy) => None,
    };
    if let (Some(about), Some(core)) = (about, &core)
        && core.contacts.iter().all(|contact| contact.number != about)
    {
        return Err(fault::command(&CommandError::NoSuchContact).into());
    }
    let facts = Facts {
        now_unix_ms: Clock::unix_ms_now(),
        state: app.node.state(),
        uptime: app.started.elapsed(),
        scope: app.network.scope,
        protection: app.node.protection(),
        no_passphrase_accepted: app.node.preferences().is_ok_and(|preferences| preferences.no_passphrase_accepted),
        free_bytes: app.node.free_bytes(),
        network: app.node.network(),
        // None while the node is locked or stops: then its state says so.
        peers: app.node.peers().await.unwrap_or_default(),
        core,
        about,
    };
    ok(examine(&facts))
}

async fn core_facts(app: &App) -> Result<CoreFacts, Fault> {
    let status = core_status(app).await?;
    let contacts = all_contacts(app).await?;
    let Reply::Undelivered(undelivered) = app.ask(Command::Undelivered).await? else {
        return Err(fault::internal("undelivered").into());
    };
    let Reply::Invites(invites) = app.ask(Command::Invites).await? else {
        return Err(fault::internal("invites").into());
    };
    Ok(CoreFacts { status, contacts, undelivered, open_invites: invites.iter().filter_map(open_invite).collect() })
}

fn open_invite(view: &InviteView) -> Option<OpenInvite> {
    let open = view.state == InviteState::Open;
    let invite = open.then(|| Invite::parse(&view.link).ok()).flatten()?;
    Some(OpenInvite { label: view.label.clone(), peers: invite.peers })
}
