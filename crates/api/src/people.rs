//! Contacts, invites, and people who wrote without one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::id::{ContactId, ConversationId, InviteId, RequestId};
use crate::node::Reach;
use crate::time::Time;

/// State of a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContactState {
    /// Has an invite from here and has not answered.
    Invited,
    /// Its keys have not come yet; messages wait.
    WaitingForKeys,
    /// Messages can be sealed.
    Ready,
    /// Two device lists carry its signature; nothing is sent.
    Forked,
    /// Nothing of theirs is shown.
    Blocked,
}

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// Local name, unique.
    pub name: String,
    /// State.
    pub state: ContactState,
    /// The conversation with it.
    pub conversation: ConversationId,
    /// Its account key, 64 hex digits.
    pub account: String,
    /// When it was added.
    pub added: Time,
    /// When its device was last heard.
    pub last_heard: Option<Time>,
    /// Last message either way, or when it was added.
    pub last_activity: Time,
    /// When the person last found that the account key is theirs.
    pub verified_at: Option<Time>,
    /// It was verified, and has another account since.
    pub mark_lost: bool,
    /// When it last changed its devices; the account, and so the safety number, stayed.
    pub devices_changed: Option<Time>,
    /// Seconds after their delivery at which messages to it disappear, unless one says otherwise; `null` for never.
    #[serde(default)]
    pub expires_s: Option<u32>,
}

/// `GET /v1/contacts`, last activity first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contacts {
    /// All contacts.
    pub contacts: Vec<Contact>,
}

/// Answer to adding or changing a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OneContact {
    /// The contact.
    pub contact: Contact,
}

/// Body of `POST /v1/contacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddContact {
    /// An invite or an address, as it was pasted.
    pub link: String,
    /// Local name; that of the invite if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The contact whose new account it is: the history stays, the verified mark is dropped.
    #[serde(default)]
    pub replace: Option<ContactId>,
}

/// Which of two device lists that carry a contact's signature is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceList {
    /// The one known first.
    Known,
    /// The one that came later.
    New,
}

/// `GET /v1/contacts/{id}/verification`, and the answer to `PUT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// Twelve groups of five digits, the same on both sides.
    pub number: Vec<String>,
    /// Eight words to read aloud, the same on both sides.
    pub words: Vec<String>,
    /// `STARLING-VERIFY:...`, for the other side to scan.
    pub code: String,
    /// The same as a picture.
    pub qr_svg: String,
    /// When the person last found that the account key is theirs.
    pub verified_at: Option<Time>,
    /// What a scanned code said; `null` when none was.
    pub scan: Option<Scan>,
}

/// What a scanned code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scan {
    /// Each side has the other's true key.
    Match,
    /// The keys are not the same on both sides: somebody may sit in between.
    Differs,
    /// It is another contact's code.
    OtherContact,
    /// It is this account's own.
    Own,
}

/// Body of `PUT /v1/contacts/{id}/verification`: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// Set the mark, or drop it.
    #[serde(default)]
    pub verified: Option<bool>,
    /// The text of a scanned code: the mark is set if it matches, and left alone if not.
    #[serde(default)]
    pub code: Option<String>,
}

/// Body of `PATCH /v1/contacts/{id}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeContact {
    /// Another local name.
    #[serde(default)]
    pub name: Option<String>,
    /// Block or unblock.
    #[serde(default)]
    pub blocked: Option<bool>,
    /// Decide between two device lists; without effect when there is one.
    #[serde(default)]
    pub devices: Option<DeviceList>,
    /// Seconds after their delivery at which messages to it disappear, unless one says otherwise; 0 for never.
    #[serde(default)]
    pub expires_s: Option<u32>,
}

/// State of an invite made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InviteState {
    /// Not used yet.
    Open,
    /// Used.
    Used,
    /// Withdrawn.
    Revoked,
    /// Its time is over.
    Expired,
}

/// An invite made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invite {
    /// Its id.
    pub id: InviteId,
    /// `starling:...`
    pub link: String,
    /// Bytes of the invite.
    pub bytes: u32,
    /// For whom.
    #[serde(rename = "for")]
    pub for_name: Option<String>,
    /// When it expires.
    pub expires: Time,
    /// Whether others can reach this node now: if nobody can, the invite works on this network only.
    pub reach: Reach,
    /// State.
    pub state: InviteState,
    /// Who used it.
    pub used_by: Option<ContactId>,
    /// Whether it names this node's own address, which happens while fewer than two others are known; `null`
    /// in lists.
    pub names_own_address: Option<bool>,
    /// The link as a picture; `null` in lists.
    #[serde(default)]
    pub qr_svg: Option<String>,
}

/// `GET /v1/invites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invites {
    /// All invites made here.
    pub invites: Vec<Invite>,
}

/// Body of `POST /v1/invites`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvite {
    /// For whom; the guest becomes a contact of this name.
    #[serde(default, rename = "for")]
    pub for_name: Option<String>,
    /// Seconds until it expires; seven days if absent.
    #[serde(default)]
    pub expires_s: Option<u32>,
}

/// Body of `POST /v1/invites/inspect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InspectInvite {
    /// An invite or an address, as it was pasted.
    pub link: String,
}

/// What an invite says, before it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvitePreview {
    /// The name of its maker; empty if they gave none.
    pub name: String,
    /// Account key of its maker, 64 hex digits.
    pub account: String,
    /// Name of its network; `null` when it is one that this node cannot name.
    pub network: Option<String>,
    /// Whether that is this node's network.
    pub this_network: bool,
    /// Good for one guest; a reusable address is not.
    pub one_use: bool,
    /// When it expires; `null` for an address.
    pub expires: Option<Time>,
    /// Whether its time is over.
    pub expired: bool,
    /// Whether this very account made it.
    pub own: bool,
    /// The contact that its maker is already.
    pub contact: Option<Contact>,
    /// Nodes that it names.
    pub peers: u32,
    /// Why it cannot be used here; `null` when it can.
    #[serde(default)]
    pub problem: Option<ApiError>,
}

/// Somebody who wrote without an invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// The name they give to themselves.
    pub name: String,
    /// Their account key, 64 hex digits.
    pub account: String,
    /// Their first text.
    pub text: Option<String>,
    /// When it came.
    pub received: Time,
}

/// `GET /v1/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// All that wait for an answer.
    pub requests: Vec<Request>,
}

/// Body of `POST /v1/requests/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// Make them a contact, or forget them.
    pub accept: bool,
    /// Local name; the one they gave if absent.
    #[serde(default)]
    pub name: Option<String>,
}

/// Answer to `POST /v1/requests/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnsweredRequest {
    /// The new contact; `null` when refused.
    pub contact: Option<Contact>,
}
