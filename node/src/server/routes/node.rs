//! Health, the reusable address, settings, peers, the passphrase, and stopping.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use starling_api::node::{AddPeer, ChangePassphrase, ChangeSettings, Health, Identity, Peers, Settings, Unlock};
use starling_api::{Code, Passphrase};
use starling_messenger::turn::{Command, Reply};
use starling_messenger::view::StatusView;
use zeroize::Zeroizing;

use crate::core::handle::{InvitePeers, Unavailable};
use crate::core::preferences::Preference;
use crate::server::answer::{Answer, Fault, Json, done, ok};
use crate::server::app::App;
use crate::server::{convert, fault};

pub(crate) async fn health(State(app): State<Arc<App>>) -> Answer {
    ok(Health { state: convert::node_state(app.node.state()) })
}

/// The description of this API, without `"v":1` before it: it is a document of its own kind.
pub(crate) async fn openapi(State(app): State<Arc<App>>) -> Response {
    axum::Json(starling_api::openapi::document(&app.url, env!("CARGO_PKG_VERSION"))).into_response()
}

pub(crate) async fn id(State(app): State<Arc<App>>) -> Answer {
    app.check_open()?;
    let InvitePeers { peers, .. } = app.node.invite_peers().await.map_err(|error| fault::unavailable(&error))?;
    let Reply::Address(view) = app.ask(Command::Address { peers }).await? else {
        return Err(fault::internal("id").into());
    };
    let network = app.node.network().ok_or_else(|| fault::unavailable(&Unavailable::Starting))?;
    ok(Identity {
        link: view.link,
        bytes: view.bytes,
        name: view.name,
        account: convert::key(&view.account),
        device: convert::key(&view.device),
        peer: network.peer,
        addresses: network.addresses,
        reach: convert::reach(network.reach),
    })
}

/// The core's part of the status.
pub(super) async fn core_status(app: &App) -> Result<StatusView, Fault> {
    match app.ask(Command::Status).await? {
        Reply::Status(view) => Ok(*view),
        _ => Err(fault::internal("status").into()),
    }
}

async fn present_settings(app: &App) -> Answer {
    let preferences = app.node.preferences().map_err(|error| fault::unavailable(&error))?;
    let no_passphrase_accepted = preferences.no_passphrase_accepted;
    let StatusView { name, read_receipts, .. } = core_status(app).await?;
    ok(Settings { name, no_passphrase_accepted, read_receipts })
}

pub(crate) async fn settings(State(app): State<Arc<App>>) -> Answer {
    present_settings(&app).await
}

pub(crate) async fn change_settings(State(app): State<Arc<App>>, Json(change): Json<ChangeSettings>) -> Answer {
    if let Some(name) = change.name {
        app.ask(Command::SetName { name }).await?;
    }
    if let Some(accepted) = change.no_passphrase_accepted {
        app.prefer(Preference::NoPassphrase(accepted)).await?;
    }
    if let Some(read_receipts) = change.read_receipts {
        app.ask(Command::SetReadReceipts(read_receipts)).await?;
    }
    present_settings(&app).await
}

fn bytes(passphrase: &Passphrase) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(passphrase.as_bytes().to_vec())
}

pub(crate) async fn unlock(State(app): State<Arc<App>>, Json(unlock): Json<Unlock>) -> Answer {
    app.node.unlock(bytes(&unlock.passphrase)).await.map_err(|error| fault::passphrase(&error))?;
    done()
}

pub(crate) async fn lock(State(app): State<Arc<App>>) -> Answer {
    app.node.lock().await.map_err(|error| fault::passphrase(&error))?;
    done()
}

pub(crate) async fn change_passphrase(State(app): State<Arc<App>>, Json(change): Json<ChangePassphrase>) -> Answer {
    let (old, new) = (change.old.as_ref().map(bytes), change.new.as_ref().map(bytes));
    app.node.set_passphrase(old, new).await.map_err(|error| fault::passphrase(&error))?;
    done()
}

pub(crate) async fn stop(State(app): State<Arc<App>>) -> Answer {
    app.node.stop().await;
    done()
}

pub(crate) async fn peers(State(app): State<Arc<App>>) -> Answer {
    app.check_open()?;
    let peers = app.node.peers().await.map_err(|error| fault::unavailable(&error))?;
    ok(Peers { peers: peers.into_iter().map(convert::peer).collect() })
}

pub(crate) async fn add_peer(State(app): State<Arc<App>>, Json(peer): Json<AddPeer>) -> Answer {
    app.check_open()?;
    let added = app.node.add_peer(peer.address).await.map_err(|error| fault::unavailable(&error))?;
    added.map_err(|reason| {
        starling_api::ApiError::new(Code::BadRequest, format!("That is no address of a node: {reason}."))
            .hint("An address looks like /ip4/192.0.2.1/udp/7828/quic-v1/p2p/12D3...")
            .field("address")
    })?;
    done()
}
