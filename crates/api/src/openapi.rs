//! The description of the API in OpenAPI 3.1, made from the types that the node and its clients use, and from one table
//! of calls, against which a test holds the routes of a running node.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::doctor::{Doctor, DoctorQuery};
use crate::error::{Code, ErrorBody};
use crate::event::{
    ContactRemovedData, Event, EventType, EventsGapData, MessageDeletedData, MessageStateData, NodePeersData,
    NodeReachData, NodeStateData, NodeWarningData,
};
use crate::file::Blob;
use crate::id::Id;
use crate::message::{
    ChangeConversation, ConversationMarks, Conversations, DeleteQuery, EditMessage, MarkRead, Message, Messages,
    MessagesQuery, React, SendMessage, Trace, Writer,
};
use crate::node::{
    AddPeer, ChangePassphrase, ChangeSettings, Health, Identity, MakeBackup, Peers, Settings, Status, Unlock,
};
use crate::people::{
    AddContact, AnswerRequest, AnsweredRequest, ChangeContact, Contact, Contacts, CreateInvite, InspectInvite, Invite,
    InvitePreview, Invites, OneContact, Request, Requests, Verification, Verify,
};
use crate::search::{Scanned, SearchQuery, SearchResults};
use crate::secret::Passphrase;
use crate::session::{EventTicket, LoginCode, OpenSession, OpenedSession, Sessions};
use crate::time::Time;

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a call carries, or gives.
#[derive(Clone, Copy)]
enum Body {
    None,
    Json(SchemaOf),
    /// Of another media type.
    Other(&'static str),
    /// One event a line.
    Events,
}

/// One call of the API.
#[derive(Clone, Copy)]
pub struct Call {
    /// `get`, `post`, `put`, `patch`, `delete`.
    pub method: &'static str,
    /// E.g. `/v1/contacts/{id}`.
    pub path: &'static str,
    summary: &'static str,
    open: bool,
    query: Option<SchemaOf>,
    takes: Body,
    status: u16,
    gives: Body,
}

const fn call(method: &'static str, path: &'static str, summary: &'static str) -> Call {
    let (takes, gives) = (Body::None, Body::None);
    Call { method, path, summary, open: false, query: None, takes, status: 204, gives }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Call {
    const fn open(mut self) -> Self {
        self.open = true;
        self
    }

    fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(T::json_schema);
        self
    }

    fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Body::Json(schema_of::<T>);
        self
    }

    fn gives<T: JsonSchema>(mut self, status: u16) -> Self {
        (self.status, self.gives) = (status, Body::Json(schema_of::<T>));
        self
    }

    const fn other(mut self, media_type: &'static str) -> Self {
        (self.status, self.gives) = (200, Body::Other(media_type));
        self
    }
}

/// All calls.
pub fn calls() -> Vec<Call> {
    let mut all = node_calls();
    all.extend(people_calls());
    all.extend(message_calls());
    all.extend(event_calls());
    all
}

fn node_calls() -> Vec<Call> {
    vec![
        call("get", "/", "The page.").open().other("text/html"),
        call("get", "/page/{name}", "A file of the page.").open().other("text/javascript"),
        call("get", "/openapi.json", "This description.").other("application/json"),
        call("get", "/metrics", "Figures in Prometheus' text format.").other("text/plain"),
        call("get", "/v1/health", "The node's state.").open().gives::<Health>(200),
        call("get", "/v1/status", "State, peers, reach, outbox, warnings.").gives::<Status>(200),
        call("get", "/v1/doctor", "What the node finds when it looks at itself: causes, and what to do next.")
            .query::<DoctorQuery>()
            .gives::<Doctor>(200),
        call("get", "/v1/id", "The reusable address, and the account's keys.").gives::<Identity>(200),
        call("get", "/v1/settings", "Settings.").gives::<Settings>(200),
        call("patch", "/v1/settings", "Changes settings.").takes::<ChangeSettings>().gives::<Settings>(200),
        call("post", "/v1/unlock", "Opens the vault.").takes::<Unlock>(),
        call("post", "/v1/lock", "Closes the vault; the network goes off."),
        call("post", "/v1/passphrase", "Sets, changes or removes the passphrase.").takes::<ChangePassphrase>(),
        call("post", "/v1/backup", "Account, contacts and history, sealed; streamed.")
            .takes::<MakeBackup>()
            .other("application/octet-stream"),
        call("post", "/v1/stop", "Saves and stops."),
        call("post", "/v1/login-codes", "A one-use link to the page.").gives::<LoginCode>(201),
        call("get", "/v1/sessions", "Browsers that are signed in.").gives::<Sessions>(200),
        call("post", "/v1/sessions", "Signs a browser in, by a one-use code.")
            .open()
            .takes::<OpenSession>()
            .gives::<OpenedSession>(201),
        call("delete", "/v1/sessions/{id}", "Signs a browser out."),
        call("get", "/v1/peers", "Connected peers.").gives::<Peers>(200),
        call("post", "/v1/peers", "Dials an address.").takes::<AddPeer>(),
        Call { takes: Body::Other("image/jpeg"), ..call("post", "/v1/scan", "Reads the QR codes of a picture.") }
            .gives::<Scanned>(200),
    ]
}

fn people_calls() -> Vec<Call> {
    vec![
        call("get", "/v1/invites", "Invites made here.").gives::<Invites>(200),
        call("post", "/v1/invites", "Makes an invite.").takes::<CreateInvite>().gives::<Invite>(201),
        call("get", "/v1/invites/{id}", "An invite, with its picture.").gives::<Invite>(200),
        call("delete", "/v1/invites/{id}", "Withdraws an invite."),
        call("post", "/v1/invites/inspect", "What an invite says, without using it.")
            .takes::<InspectInvite>()
            .gives::<InvitePreview>(200),
        call("get", "/v1/contacts", "Contacts, last activity first.").gives::<Contacts>(200),
        call("post", "/v1/contacts", "Uses an invite or an address.").takes::<AddContact>().gives::<OneContact>(201),
        call("get", "/v1/contacts/{id}", "A contact.").gives::<OneContact>(200),
        call("patch", "/v1/contacts/{id}", "Renames, blocks, unblocks, sets the timer, decides between device lists.")
            .takes::<ChangeContact>()
            .gives::<OneContact>(200),
        call("delete", "/v1/contacts/{id}", "Removes a contact."),
        call("get", "/v1/contacts/{id}/verification", "What both sides compare.").gives::<Verification>(200),
        call("put", "/v1/contacts/{id}/verification", "Sets or drops the mark, or compares a scanned code.")
            .takes::<Verify>()
            .gives::<Verification>(200),
        call("get", "/v1/requests", "People who wrote without an invite.").gives::<Requests>(200),
        call("post", "/v1/requests/{id}", "Accepts or refuses one.")
            .takes::<AnswerRequest>()
            .gives::<AnsweredRequest>(200),
    ]
}

fn message_calls() -> Vec<Call> {
    vec![
        call("get", "/v1/conversations", "Conversations, last activity first.").gives::<Conversations>(200),
        call("patch", "/v1/conversations/{id}", "Mutes or unmutes.")
            .takes::<ChangeConversation>()
            .gives::<ConversationMarks>(200),
        call("put", "/v1/conversations/{id}/read", "Marks messages as read, for this account's own eyes.")
            .takes::<MarkRead>()
            .gives::<ConversationMarks>(200),
        call("get", "/v1/conversations/{id}/messages", "Messages, in the order in which they are shown.")
            .query::<MessagesQuery>()
            .gives::<Messages>(200),
        call("post", "/v1/conversations/{id}/messages", "Sends. 200 in the place of 201 when the client_id was known.")
            .takes::<SendMessage>()
            .gives::<Message>(201),
        Call {
            takes: Body::Other("application/octet-stream"),
            ..call("post", "/v1/blobs", "Takes a file that is to be sent.")
        }
        .gives::<Blob>(201),
        call("get", "/v1/blobs/{id}", "The file of a message.").other("application/octet-stream"),
        call("get", "/v1/messages/{id}", "A message.").gives::<Message>(200),
        call("patch", "/v1/messages/{id}", "Says an own message in other words, on both sides.")
            .takes::<EditMessage>()
            .gives::<Message>(200),
        call("delete", "/v1/messages/{id}", "Deletes a message, here or on both sides.")
            .query::<DeleteQuery>()
            .gives::<Message>(200),
        call("put", "/v1/messages/{id}/reaction", "Reacts to a message, or takes a reaction back.")
            .takes::<React>()
            .gives::<Message>(200),
        call("get", "/v1/messages/{id}/trace", "The life of a message.").gives::<Trace>(200),
        call("get", "/v1/search", "Searches all that was said.").query::<SearchQuery>().gives::<SearchResults>(200),
    ]
}

fn event_calls() -> Vec<Call> {
    let stream = call("get", "/v1/events", "Events after a number, without end, one a line.");
    vec![
        Call { status: 200, gives: Body::Events, ..stream }.query::<EventsQuery>(),
        call("post", "/v1/events/ticket", "A ticket for the event socket.").gives::<EventTicket>(201),
        Call { status: 101, ..call("get", "/v1/events/ws", "The same events over a WebSocket.") }
            .open()
            .query::<SocketQuery>(),
    ]
}

/// Query of `GET /v1/events`.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "described here, read by the node")]
struct EventsQuery {
    /// Only events after this number; from now on if absent.
    since: Option<u64>,
    /// Names of types, with commas between them; all if absent.
    types: Option<String>,
}

/// Query of `GET /v1/events/ws`.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "described here, read by the node")]
struct SocketQuery {
    /// A ticket, good once.
    ticket: String,
    /// Only events after this number; from now on if absent.
    since: Option<u64>,
}

/// The whole description, for the node at `url` of this `version`.
pub fn document(url: &str, version: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = Cow::Borrowed("/components/schemas");
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let event = generator.subschema_for::<Event>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for call in calls() {
        let operation = operation(&call, &mut generator, &event);
        paths.entry(call.path).or_default().insert(call.method.to_owned(), operation);
    }
    let codes: Vec<String> = Code::ALL.iter().map(|code| format!("{} `{code}`", code.http_status())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Starling", "version": version,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            "description": format!(
                "The local API of a Starling node: for programs on the same computer. Every answer begins with \"v\":1; fields \
                 are only added within it. `Starling-Seq` of an answer to GET is the number of the newest event before it: \
                 read, then follow the events from there, and nothing is missed. Codes of errors: {}.", codes.join(", ")),
        },
        "servers": [{ "url": url }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": { "Error": {
                "description": "What went wrong, for programs and for people.",
                "content": { "application/json": { "schema": versioned(error.to_value()) } },
            } },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "The token of api.json in the data directory, or of a session." } },
        },
    })
}

fn operation(call: &Call, generator: &mut SchemaGenerator, event: &Schema) -> Value {
    let mut operation = json!({
        "summary": call.summary,
        "operationId": operation_id(call),
        "parameters": parameters(call, generator),
        "responses": { "default": { "$ref": "#/components/responses/Error" } },
    });
    if call.open {
        operation["security"] = json!([]);
    }
    match call.takes {
        Body::Json(schema) => {
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": schema(generator) } } });
        }
        Body::Other(kind) => operation["requestBody"] = json!({ "required": true, "content": { kind: {} } }),
        Body::None | Body::Events => {}
    }
    let mut answer = json!({ "description": "Done." });
    match call.gives {
        Body::Json(schema) => {
            answer["content"] = json!({ "application/json": { "schema": versioned(schema(generator).to_value()) } });
        }
        Body::Other(kind) => answer["content"] = json!({ kind: {} }),
        Body::Events => {
            answer["content"] = json!({ "application/x-ndjson": { "schema": versioned(event.clone().to_value()) } })
        }
        Body::None => {}
    }
    operation["responses"][call.status.to_string()] = answer;
    operation
}

/// `{"v":1, ...}`
fn versioned(schema: Value) -> Value {
    let version = json!({ "type": "object", "properties": { "v": { "const": 1 } }, "required": ["v"] });
    json!({ "allOf": [version, schema] })
}

/// `get_contacts_id_verification`
fn operation_id(call: &Call) -> String {
    let words = call.path.trim_start_matches("/v1").replace(['{', '}'], "").replace(['/', '-', '.'], "_");
    format!("{}{}", call.method, if words == "_" { "_page" } else { words.as_str() })
}

fn parameters(call: &Call, generator: &mut SchemaGenerator) -> Vec<Value> {
    let names = call.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let mut parameters: Vec<Value> = names
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let Some(schema) = call.query else { return parameters };
    let schema = schema(generator).to_value();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let required = required.contains(&name.as_str());
        parameters.push(json!({
            "name": name, "in": "query", "required": required, "schema": property, "description": property["description"],
        }));
    }
    parameters
}

fn string(format: &str, description: &str) -> Schema {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "string".into());
    schema.insert("description".to_owned(), description.into());
    if !format.is_empty() {
        schema.insert("format".to_owned(), format.into());
    }
    schema.into()
}

impl<const KIND: char> JsonSchema for Id<KIND> {
    fn schema_name() -> Cow<'static, str> {
        let name = match KIND {
            'p' => "ContactId",
            'c' => "ConversationId",
            'm' => "MessageId",
            'i' => "InviteId",
            'r' => "RequestId",
            'b' => "BlobId",
            _ => "SessionId",
        };
        Cow::Borrowed(name)
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = string("", "A letter for the kind, and the local number in Crockford's base32.");
        schema.insert("pattern".to_owned(), format!("^{KIND}_[0-9a-hjkmnp-tv-z]{{1,13}}$").into());
        schema
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        string("date-time", "RFC 3339, in UTC, with milliseconds.")
    }
}

impl JsonSchema for Passphrase {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Passphrase")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        string("password", "A passphrase, 8 to 1,024 bytes.")
    }
}

impl JsonSchema for Writer {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Writer")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        string("", "\"me\", or the id of a contact.")
    }
}

impl JsonSchema for Event {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Event")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<Value> = EventType::ALL
            .into_iter()
            .map(|kind| {
                let data = data_of(kind)(generator);
                json!({ "properties": { "type": { "const": kind.as_str() }, "data": data } })
            })
            .collect();
        let common = json!({
            "type": "object",
            "description": "One line of the event log.",
            "required": ["seq", "time", "type", "data"],
            "properties": {
                "seq": { "type": "integer", "minimum": 0 },
                "time": generator.subschema_for::<Time>(),
                "type": { "type": "string" },
            },
            "oneOf": kinds,
        });
        common.as_object().cloned().unwrap_or_default().into()
    }
}

fn data_of(kind: EventType) -> SchemaOf {
    match kind {
        EventType::NodeState => schema_of::<NodeStateData>,
        EventType::NodePeers => schema_of::<NodePeersData>,
        EventType::NodeReach => schema_of::<NodeReachData>,
        EventType::NodeWarning => schema_of::<NodeWarningData>,
        EventType::ContactAdded | EventType::ContactReady | EventType::ContactChanged => schema_of::<Contact>,
        EventType::ContactRequested => schema_of::<Request>,
        EventType::ContactRemoved => schema_of::<ContactRemovedData>,
        EventType::InviteCreated | EventType::InviteUsed | EventType::InviteExpired => schema_of::<Invite>,
        EventType::MessageReceived | EventType::MessageChanged => schema_of::<Message>,
        EventType::MessageState => schema_of::<MessageStateData>,
        EventType::MessageDeleted => schema_of::<MessageDeletedData>,
        EventType::ConversationRead => schema_of::<ConversationMarks>,
        EventType::EventsGap => schema_of::<EventsGapData>,
    }
}
