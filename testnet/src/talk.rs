//! People of a testnet: what they do through their nodes' APIs, and what they see.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use data_encoding::HEXLOWER;
use starling_api::message::{MessageState, MessagesQuery, SendMessage, StateName, Writer};
use starling_api::people::{AddContact, Contact, ContactState, CreateInvite};
use starling_api::{Client, EventBody, EventType, MessageId};

pub use starling_api::message::StateName as Stage;

/// How often a state without an event of its own is asked for.
const POLL: Duration = Duration::from_millis(5);
/// Messages of a conversation that are read at once.
const HISTORY_LIMIT: u32 = 500;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHealth {
    /// Its state, as in the API.
    pub state: String,
    /// Peers connected.
    pub connected: u32,
    /// Peers of its shard.
    pub in_shard: u32,
    /// Whether others reach it.
    pub reach: String,
    /// Messages not yet confirmed.
    pub undelivered: u32,
    /// Warnings.
    pub warnings: usize,
}

/// Asks the node whose data directory is `data`.
///
/// # Errors
/// When it does not answer.
pub fn health(data: &Path) -> anyhow::Result<NodeHealth> {
    let status = Client::open(data)?.status()?;
    let reach = serde_json::to_value(status.reach)?;
    Ok(NodeHealth {
        state: status.state.as_str().to_owned(),
        connected: status.peers.map_or(0, |peers| peers.connected),
        in_shard: status.peers.map_or(0, |peers| peers.in_shard),
        reach: reach.as_str().unwrap_or_default().to_owned(),
        undelivered: status.outbox.map_or(0, |outbox| outbox.undelivered),
        warnings: status.warnings.len(),
    })
}

/// A message that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its id.
    pub id: MessageId,
    /// When the call was made.
    pub since: Instant,
}

/// Somebody with a node.
pub struct Party {
    name: String,
    client: Client,
}

impl Party {
    /// The owner of the node whose data directory is `data`.
    ///
    /// # Errors
    /// When no node runs there.
    pub fn at(name: &str, data: &Path) -> anyhow::Result<Self> {
        let client = Client::open(data).with_context(|| format!("the API of {name}"))?;
        Ok(Self { name: name.to_owned(), client })
    }

    /// Their client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sets the name that friends see.
    ///
    /// # Errors
    /// When the node refuses it.
    pub fn set_name(&self, name: &str) -> anyhow::Result<()> {
        let change = starling_api::node::ChangeSettings { name: Some(name.to_owned()), ..Default::default() };
        self.client.change_settings(&change)?;
        Ok(())
    }

    /// Makes an invite and returns its link.
    ///
    /// # Errors
    /// When the node refuses.
    pub fn invite(&self, label: &str) -> anyhow::Result<String> {
        let invite = CreateInvite { for_name: Some(label.to_owned()), expires_s: None };
        Ok(self.client.create_invite(&invite)?.link)
    }

    /// Uses an invite.
    ///
    /// # Errors
    /// When the node refuses it.
    pub fn add(&self, link: &str, name: &str) -> anyhow::Result<Contact> {
        let contact = AddContact { link: link.to_owned(), name: Some(name.to_owned()), replace: None };
        Ok(self.client.add_contact(&contact)?)
    }

    /// The contact of this local name.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn contact(&self, name: &str) -> anyhow::Result<Option<Contact>> {
        Ok(self.client.contacts()?.contacts.into_iter().find(|contact| contact.name == name))
    }

    /// Waits until messages to this contact can be sealed; whether that came in time.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn wait_ready(&self, name: &str, deadline: Duration) -> anyhow::Result<bool> {
        let since = Instant::now();
        while since.elapsed() < deadline {
            if self.contact(name)?.is_some_and(|contact| contact.state == ContactState::Ready) {
                return Ok(true);
            }
            std::thread::sleep(POLL);
        }
        Ok(false)
    }

    /// Sends a text.
    ///
    /// # Errors
    /// When the node refuses it.
    pub fn send(&self, contact: &Contact, text: &str) -> anyhow::Result<Sent> {
        let since = Instant::now();
        let message = SendMessage { text: text.to_owned(), ..SendMessage::default() };
        let sent = self.client.send(contact.conversation, &message).with_context(|| format!("{} sends", self.name))?;
        Ok(Sent { id: sent.message.id, since })
    }

    /// Waits until a message is at least at `stage`; its state then, or nothing when that did not come.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn wait_stage(&self, sent: &Sent, stage: Stage, deadline: Duration) -> anyhow::Result<Option<MessageState>> {
        let since = Instant::now();
        while since.elapsed() < deadline {
            let state = self.client.message(sent.id)?.state;
            if state.name >= stage && state.name != StateName::Expired {
                return Ok(Some(state));
            }
            std::thread::sleep(POLL);
        }
        Ok(None)
    }

    /// Waits until a message is confirmed by its recipient; whether that came in time.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn wait_delivered(&self, sent: &Sent, deadline: Duration) -> anyhow::Result<bool> {
        Ok(self.wait_stage(sent, Stage::Delivered, deadline)?.is_some())
    }

    /// Texts received from a contact, in the order in which they are shown.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn received(&self, contact: &Contact) -> anyhow::Result<Vec<String>> {
        let query = MessagesQuery { limit: Some(HISTORY_LIMIT), ..MessagesQuery::default() };
        let messages = self.client.messages(contact.conversation, &query)?.messages;
        let received = messages.into_iter().filter(|message| matches!(message.from, Writer::Contact(_)));
        Ok(received.filter_map(|message| message.text).collect())
    }

    /// Peer ids of the neighbours with which a link is held.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn held_peers(&self) -> anyhow::Result<Vec<String>> {
        let peers = self.client.peers()?.peers;
        Ok(peers.into_iter().filter(|peer| peer.held).map(|peer| peer.peer).collect())
    }

    /// Account and device keys, each with a label, as bytes.
    ///
    /// # Errors
    /// When the node does not answer, or with something that is no key.
    pub fn keys(&self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let identity = self.client.id()?;
        let mut keys = Vec::new();
        for (label, hex) in [("account key", identity.account), ("device key", identity.device)] {
            let bytes = HEXLOWER.decode(hex.as_bytes()).with_context(|| format!("the {label} of {}", self.name))?;
            keys.push((label.to_owned(), bytes));
        }
        Ok(keys)
    }

    /// Follows the messages that come from now on.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn listen(&self) -> anyhow::Result<Inbox> {
        let since = self.client.seq()?;
        let stream = self.client.events(since, &[EventType::MessageReceived], None)?;
        let inbox = Inbox { arrived: Arc::default() };
        let arrived = inbox.arrived.clone();
        // Ends when the node stops.
        std::thread::spawn(move || {
            for line in stream.map_while(Result::ok) {
                let at = Instant::now();
                if let EventBody::MessageReceived(message) = line.event.body
                    && let Some(text) = message.text
                {
                    arrived.texts.lock().unwrap_or_else(PoisonError::into_inner).entry(text).or_insert(at);
                    arrived.more.notify_all();
                }
            }
        });
        Ok(inbox)
    }
}

#[derive(Default)]
struct Arrived {
    texts: Mutex<BTreeMap<String, Instant>>,
    more: Condvar,
}

/// Messages as they come, with when the event was seen.
pub struct Inbox {
    arrived: Arc<Arrived>,
}

impl Inbox {
    /// Waits for a text; when its event was seen, or nothing when it did not come in time.
    pub fn wait_text(&self, text: &str, deadline: Duration) -> Option<Instant> {
        let texts = self.arrived.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrived.more.wait_timeout_while(texts, deadline, |texts| !texts.contains_key(text));
        let (texts, _) = waited.unwrap_or_else(PoisonError::into_inner);
        texts.get(text).copied()
    }
}
