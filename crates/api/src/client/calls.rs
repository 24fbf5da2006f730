//! One method for each call of the API.

use std::time::Duration;

use ureq::http::Method;
use zeroize::Zeroizing;

use super::{Client, ClientError, Sending, json};
use crate::backup::BackupStream;
use crate::doctor::Doctor;
use crate::event::EventType;
use crate::event_stream::EventStream;
use crate::file::{Blob, FILE_BYTES_MAX};
use crate::id::{BlobId, ContactId, ConversationId, InviteId, MessageId, RequestId, SessionId};
use crate::message::{
    ChangeConversation, ConversationMarks, Conversations, DeleteFor, EditMessage, MarkRead, Message, Messages,
    MessagesQuery, React, SendMessage, Sent, Trace,
};
use crate::node::{
    AddPeer, ChangePassphrase, ChangeSettings, Health, Identity, MakeBackup, Peers, Settings, Status, Unlock,
};
use crate::people::{
    AddContact, AnswerRequest, AnsweredRequest, ChangeContact, Contact, Contacts, CreateInvite, InspectInvite, Invite,
    InvitePreview, Invites, OneContact, Requests, Verification, Verify,
};
use crate::search::{SearchQuery, SearchResults};
use crate::session::{LoginCode, Sessions};

impl Client {
    /// The node's state. The only call that needs no token.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn health(&self) -> Result<Health, ClientError> {
        self.get("/v1/health")
    }

    /// Number of the newest event. Ask for it, then read, then follow [`Self::events`] from it: nothing is
    /// missed. `None` while the vault is locked.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn seq(&self) -> Result<Option<u64>, ClientError> {
        Ok(self.call(Method::GET, "/v1/health", None)?.seq)
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status")
    }

    /// `GET /v1/doctor`; of contacts and messages, those of `contact` alone if one is named.
    ///
    /// # Errors
    /// `no_such_contact`; as any call: [`ClientError`].
    pub fn doctor(&self, contact: Option<ContactId>) -> Result<Doctor, ClientError> {
        match contact {
            Some(contact) => self.get(&format!("/v1/doctor?contact={contact}")),
            None => self.get("/v1/doctor"),
        }
    }

    /// `GET /v1/id`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn id(&self) -> Result<Identity, ClientError> {
        self.get("/v1/id")
    }

    /// `GET /v1/settings`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn settings(&self) -> Result<Settings, ClientError> {
        self.get("/v1/settings")
    }

    /// `PATCH /v1/settings`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn change_settings(&self, change: &ChangeSettings) -> Result<Settings, ClientError> {
        self.send_json(Method::PATCH, "/v1/settings", change)
    }

    /// `POST /v1/unlock`.
    ///
    /// # Errors
    /// `wrong_passphrase` with `retry_after_ms`; as any call: [`ClientError`].
    pub fn unlock(&self, unlock: &Unlock) -> Result<(), ClientError> {
        self.post_empty("/v1/unlock", Some(unlock))
    }

    /// `POST /v1/passphrase`: sets, changes or removes it.
    ///
    /// # Errors
    /// `wrong_passphrase`, `no_passphrase`; as any call: [`ClientError`].
    pub fn change_passphrase(&self, change: &ChangePassphrase) -> Result<(), ClientError> {
        self.post_empty("/v1/passphrase", Some(change))
    }

    /// `POST /v1/lock`: returns when the vault is closed.
    ///
    /// # Errors
    /// `no_passphrase`; as any call: [`ClientError`].
    pub fn lock(&self) -> Result<(), ClientError> {
        self.post_empty::<()>("/v1/lock", None)
    }

    /// `POST /v1/login-codes`: a one-use link to the page.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn login_code(&self) -> Result<LoginCode, ClientError> {
        self.send_json(Method::POST, "/v1/login-codes", &serde_json::json!({}))
    }

    /// `GET /v1/sessions`: browsers that are signed in.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn sessions(&self) -> Result<Sessions, ClientError> {
        self.get("/v1/sessions")
    }

    /// `DELETE /v1/sessions/{id}`: signs a browser out.
    ///
    /// # Errors
    /// `no_such_session`; as any call: [`ClientError`].
    pub fn revoke_session(&self, session: SessionId) -> Result<(), ClientError> {
        self.delete(&format!("/v1/sessions/{session}"))
    }

    /// `GET /v1/search`.
    ///
    /// # Errors
    /// `bad_request` when there is nothing to search for; as any call: [`ClientError`].
    pub fn search(&self, query: &SearchQuery) -> Result<SearchResults, ClientError> {
        let mut path = format!("/v1/search?q={}", percent_encoded(&query.q));
        if let Some(limit) = query.limit {
            path.push_str(&format!("&limit={limit}"));
        }
        if let Some(before) = query.before {
            path.push_str(&format!("&before={before}"));
        }
        self.get(&path)
    }

    /// `PUT /v1/conversations/{id}/read`.
    ///
    /// # Errors
    /// `no_such_contact`; as any call: [`ClientError`].
    pub fn mark_read(&self, conversation: ConversationId, up_to: MessageId) -> Result<ConversationMarks, ClientError> {
        self.send_json(Method::PUT, &format!("/v1/conversations/{conversation}/read"), &MarkRead { up_to })
    }

    /// `PATCH /v1/conversations/{id}`.
    ///
    /// # Errors
    /// `no_such_contact`; as any call: [`ClientError`].
    pub fn change_conversation(
        &self,
        conversation: ConversationId,
        change: &ChangeConversation,
    ) -> Result<ConversationMarks, ClientError> {
        self.send_json(Method::PATCH, &format!("/v1/conversations/{conversation}"), change)
    }

    /// `POST /v1/stop`: returns when the node has begun to stop.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn stop(&self) -> Result<(), ClientError> {
        self.post_empty::<()>("/v1/stop", None)
    }

    /// `GET /v1/peers`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn peers(&self) -> Result<Peers, ClientError> {
        self.get("/v1/peers")
    }

    /// `POST /v1/peers`: dials an address.
    ///
    /// # Errors
    /// `bad_request` when it is no address; as any call: [`ClientError`].
    pub fn add_peer(&self, peer: &AddPeer) -> Result<(), ClientError> {
        self.post_empty("/v1/peers", Some(peer))
    }

    /// `GET /v1/invites`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn invites(&self) -> Result<Invites, ClientError> {
        self.get("/v1/invites")
    }

    /// `POST /v1/invites`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn create_invite(&self, invite: &CreateInvite) -> Result<Invite, ClientError> {
        self.send_json(Method::POST, "/v1/invites", invite)
    }

    /// `DELETE /v1/invites/{id}`: withdraws it.
    ///
    /// # Errors
    /// `no_such_invite`; as any call: [`ClientError`].
    pub fn revoke_invite(&self, invite: InviteId) -> Result<(), ClientError> {
        self.delete(&format!("/v1/invites/{invite}"))
    }

    /// `POST /v1/invites/inspect`: what an invite says, without using it.
    ///
    /// # Errors
    /// `invite_damaged`, `invite_cut`, `version_too_new`; as any call: [`ClientError`].
    pub fn inspect_invite(&self, invite: &InspectInvite) -> Result<InvitePreview, ClientError> {
        self.send_json(Method::POST, "/v1/invites/inspect", invite)
    }

    /// `GET /v1/contacts`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn contacts(&self) -> Result<Contacts, ClientError> {
        self.get("/v1/contacts")
    }

    /// `POST /v1/contacts`: uses an invite or an address.
    ///
    /// # Errors
    /// Each fault of an invite has its own code; as any call: [`ClientError`].
    pub fn add_contact(&self, contact: &AddContact) -> Result<Contact, ClientError> {
        self.send_json(Method::POST, "/v1/contacts", contact).map(|answer: OneContact| answer.contact)
    }

    /// `PATCH /v1/contacts/{id}`: renames, blocks, unblocks, decides between device lists.
    ///
    /// # Errors
    /// `no_such_contact`, `name_taken`; as any call: [`ClientError`].
    pub fn change_contact(&self, contact: ContactId, change: &ChangeContact) -> Result<Contact, ClientError> {
        self.send_json(Method::PATCH, &format!("/v1/contacts/{contact}"), change)
            .map(|answer: OneContact| answer.contact)
    }

    /// `DELETE /v1/contacts/{id}`.
    ///
    /// # Errors
    /// `no_such_contact`; as any call: [`ClientError`].
    pub fn remove_contact(&self, contact: ContactId) -> Result<(), ClientError> {
        self.delete(&format!("/v1/contacts/{contact}"))
    }

    /// `GET /v1/contacts/{id}/verification`: what both sides compare.
    ///
    /// # Errors
    /// `no_such_contact`; as any call: [`ClientError`].
    pub fn verification(&self, contact: ContactId) -> Result<Verification, ClientError> {
        self.get(&format!("/v1/contacts/{contact}/verification"))
    }

    /// `PUT /v1/contacts/{id}/verification`: sets or drops the mark, or compares a scanned code.
    ///
    /// # Errors
    /// `no_such_contact`, `bad_request` for a code that is none; as any call: [`ClientError`].
    pub fn verify(&self, contact: ContactId, verify: &Verify) -> Result<Verification, ClientError> {
        self.send_json(Method::PUT, &format!("/v1/contacts/{contact}/verification"), verify)
    }

    /// `GET /v1/requests`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn requests(&self) -> Result<Requests, ClientError> {
        self.get("/v1/requests")
    }

    /// `POST /v1/requests/{id}`: the new contact, or none when it was refused.
    ///
    /// # Errors
    /// `no_such_request`, `name_taken`; as any call: [`ClientError`].
    pub fn answer_request(&self, request: RequestId, answer: &AnswerRequest) -> Result<Option<Contact>, ClientError> {
        self.send_json(Method::POST, &format!("/v1/requests/{request}"), answer)
            .map(|answered: AnsweredRequest| answered.contact)
    }

    /// `GET /v1/conversations`.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn conversations(&self) -> Result<Conversations, ClientError> {
        self.get("/v1/conversations")
    }

    /// `GET /v1/conversations/{id}/messages`.
    ///
    /// # Errors
    /// `no_such_contact`; as any call: [`ClientError`].
    pub fn messages(&self, conversation: ConversationId, query: &MessagesQuery) -> Result<Messages, ClientError> {
        let mut path = format!("/v1/conversations/{conversation}/messages");
        let parameters = [
            query.before.map(|before| format!("before={before}")),
            query.limit.map(|limit| format!("limit={limit}")),
            query.since.map(|since| format!("since={since}")),
        ];
        for (parameter, separator) in parameters.into_iter().flatten().zip("?&&".chars()) {
            path.push(separator);
            path.push_str(&parameter);
        }
        self.get(&path)
    }

    /// `POST /v1/conversations/{id}/messages`. Safe to repeat under the same `client_id`.
    ///
    /// # Errors
    /// `no_such_contact`, `too_large`, `disk_full`; as any call: [`ClientError`].
    pub fn send(&self, conversation: ConversationId, message: &SendMessage) -> Result<Sent, ClientError> {
        let path = format!("/v1/conversations/{conversation}/messages");
        let answer = self.call(Method::POST, &path, Some(json(message)))?;
        Ok(Sent { known: answer.status == 200, message: self.parse(&answer.text)? })
    }

    /// `POST /v1/blobs`: hands a file in, to be attached to a message.
    ///
    /// # Errors
    /// `too_large`, `bad_request` for an empty one; as any call: [`ClientError`].
    pub fn upload(&self, bytes: Vec<u8>) -> Result<Blob, ClientError> {
        let body = Sending { media_type: "application/octet-stream", bytes: Zeroizing::new(bytes) };
        self.parse(&self.call(Method::POST, "/v1/blobs", Some(body))?.text)
    }

    /// `GET /v1/blobs/{id}`: a message's file.
    ///
    /// # Errors
    /// `no_such_file`; as any call: [`ClientError`].
    pub fn file(&self, file: BlobId) -> Result<Vec<u8>, ClientError> {
        let mut response = self.run(Method::GET, &format!("/v1/blobs/{file}"), None, Some(self.timeout))?;
        if response.status().as_u16() != 200 {
            return Err(self.refused(&self.read(response)?));
        }
        let body = response.body_mut().with_config().limit(FILE_BYTES_MAX as u64);
        body.read_to_vec().map_err(|error| self.failed(error))
    }

    /// `GET /v1/messages/{id}`.
    ///
    /// # Errors
    /// `no_such_message`; as any call: [`ClientError`].
    pub fn message(&self, message: MessageId) -> Result<Message, ClientError> {
        self.get(&format!("/v1/messages/{message}"))
    }

    /// `GET /v1/messages/{id}/trace`.
    ///
    /// # Errors
    /// `no_such_message`; as any call: [`ClientError`].
    pub fn trace(&self, message: MessageId) -> Result<Trace, ClientError> {
        self.get(&format!("/v1/messages/{message}/trace"))
    }

    /// `PUT /v1/messages/{id}/reaction`: sets the own reaction, or takes it back. The message as it is then.
    ///
    /// # Errors
    /// `no_such_message`, `bad_request` for a reaction that is too long; as any call: [`ClientError`].
    pub fn react(&self, message: MessageId, reaction: &React) -> Result<Message, ClientError> {
        self.send_json(Method::PUT, &format!("/v1/messages/{message}/reaction"), reaction)
    }

    /// `PATCH /v1/messages/{id}`: gives an own text another wording. The message as it is then.
    ///
    /// # Errors
    /// `no_such_message`, `not_yours`, `too_large`, `bad_request` when it is too old; as any call: [`ClientError`].
    pub fn edit(&self, message: MessageId, edit: &EditMessage) -> Result<Message, ClientError> {
        self.send_json(Method::PATCH, &format!("/v1/messages/{message}"), edit)
    }

    /// `DELETE /v1/messages/{id}`: for both, or here alone; an own one for both, if it is not said. The message
    /// without its text.
    ///
    /// # Errors
    /// `no_such_message`, `not_yours`, `bad_request` when it is too old; as any call: [`ClientError`].
    pub fn delete_message(&self, message: MessageId, for_whom: Option<DeleteFor>) -> Result<Message, ClientError> {
        let query = match for_whom {
            None => "",
            Some(DeleteFor::Both) => "?for=both",
            Some(DeleteFor::Me) => "?for=me",
        };
        let answer = self.call(Method::DELETE, &format!("/v1/messages/{message}{query}"), None)?;
        self.parse(&answer.text)
    }

    /// `POST /v1/backup`: account, contacts and history, sealed under a passphrase. Takes as long as it takes.
    ///
    /// # Errors
    /// `locked`, `bad_request` when the passphrase is too short; as any call: [`ClientError`].
    pub fn backup(&self, backup: &MakeBackup) -> Result<BackupStream, ClientError> {
        let response = self.run(Method::POST, "/v1/backup", Some(json(backup)), None)?;
        if response.status().as_u16() == 200 {
            return Ok(BackupStream::new(response.into_body()));
        }
        let answer = self.read(response)?;
        Err(self.refused(&answer))
    }

    /// `GET /v1/events`: events after number `since` (from now on if absent), of `types` (all if empty).
    /// With a `limit`, the stream ends in [`ClientError::TimedOut`] after that time. When it breaks, open
    /// another one from the last number that was seen.
    ///
    /// # Errors
    /// As any call: [`ClientError`].
    pub fn events(
        &self,
        since: Option<u64>,
        types: &[EventType],
        limit: Option<Duration>,
    ) -> Result<EventStream, ClientError> {
        let mut path = "/v1/events".to_owned();
        if let Some(since) = since {
            path.push_str(&format!("?since={since}"));
        }
        if !types.is_empty() {
            let names: Vec<&str> = types.iter().map(|known| known.as_str()).collect();
            path.push_str(if since.is_some() { "&types=" } else { "?types=" });
            path.push_str(&names.join(","));
        }
        let response = self.run(Method::GET, &path, None, limit)?;
        if response.status().as_u16() == 200 {
            return Ok(EventStream::new(response.into_body(), self.url.clone()));
        }
        let answer = self.read(response)?;
        Err(self.refused(&answer))
    }
}

/// A value of a query: all but letters, digits and `-._~` as `%XX`. RFC 3986, section 2.3.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
