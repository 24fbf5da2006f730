//! The paths of the API, and what answers them.

pub(super) mod backup;
mod blobs;
mod doctor;
mod messages;
mod metrics;
mod node;
mod page;
mod people;
pub(crate) mod status;
mod verification;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, patch, post, put};

use super::answer::{bad_method, no_such_path};
use super::app::{self, App};
use super::{event_socket, events, page as files};

/// All paths, behind the guard.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(files::index))
        .route("/page/{*name}", get(files::file))
        .route("/v1/health", get(node::health))
        .route("/v1/status", get(status::status))
        .route("/v1/doctor", get(doctor::doctor))
        .route("/openapi.json", get(node::openapi))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/id", get(node::id))
        .route("/v1/settings", get(node::settings).patch(node::change_settings))
        .route("/v1/login-codes", post(page::new_code))
        .route("/v1/sessions", get(page::sessions).post(page::open_session))
        .route("/v1/sessions/{id}", delete(page::revoke_session))
        .route("/v1/events/ticket", post(page::ticket))
        .route("/v1/search", get(page::find))
        .route("/v1/scan", post(page::scan))
        .route("/v1/unlock", post(node::unlock))
        .route("/v1/lock", post(node::lock))
        .route("/v1/passphrase", post(node::change_passphrase))
        .route("/v1/backup", post(backup::backup))
        .route("/v1/stop", post(node::stop))
        .route("/v1/peers", get(node::peers).post(node::add_peer))
        .route("/v1/invites", get(people::invites).post(people::create_invite))
        .route("/v1/invites/inspect", post(people::inspect_invite))
        .route("/v1/invites/{id}", get(people::invite).delete(people::revoke_invite))
        .route("/v1/contacts", get(people::contacts).post(people::add_contact))
        .route("/v1/contacts/{id}", get(people::contact).patch(people::change_contact).delete(people::remove_contact))
        .route("/v1/contacts/{id}/verification", get(verification::verification).put(verification::verify))
        .route("/v1/requests", get(people::requests))
        .route("/v1/requests/{id}", post(people::answer_request))
        .route("/v1/conversations", get(messages::conversations))
        .route("/v1/conversations/{id}", patch(messages::change_conversation))
        .route("/v1/conversations/{id}/read", put(messages::mark_read))
        .route("/v1/conversations/{id}/messages", get(messages::messages).post(messages::send))
        .route("/v1/blobs", post(blobs::keep))
        .route("/v1/blobs/{id}", get(blobs::blob))
        .route("/v1/messages/{id}", get(messages::message).patch(messages::edit).delete(messages::delete))
        .route("/v1/messages/{id}/reaction", put(messages::react))
        .route("/v1/messages/{id}/trace", get(messages::trace))
        .route(events::PATH, get(events::events))
        .route(events::SOCKET_PATH, get(event_socket::socket))
        .fallback(no_such_path)
        .method_not_allowed_fallback(bad_method)
        .layer(from_fn_with_state(app.clone(), app::admit))
        .with_state(app)
}
