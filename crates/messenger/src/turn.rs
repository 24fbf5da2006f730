//! What goes into a step and what comes out of it.
//!
//! A step never commits: it returns its writes with its outputs. The caller commits the writes
//! durably, then releases the outputs in order; a turn without writes is released at once. A crash
//! before the commit undoes the step, a crash after it loses outputs that the restored messenger
//! makes again.

use starling_relay::admit::Checked;
use starling_relay::penalty::Fault;
use starling_wire::envelope::{Envelope, EnvelopeId, EpochRange, TopicId};
use starling_wire::invite::InvitePeer;
use starling_wire::push_cell::PushCell;

use crate::backup::Export;
pub use crate::file::OutgoingFile;
use crate::job::{Job, JobResult};
use crate::record::VaultWrite;
pub use crate::target::Target;
use crate::view::{AddressView, ContactView, Event, InviteView, MessageView, RequestView, StatusView};
use crate::view::{TraceLine, UndeliveredView};

/// The two clocks. Epochs and expiry go by the wall, timers by the monotonic one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, milliseconds since 1970 UTC.
    pub unix_ms: u64,
    /// Monotonic clock, milliseconds since any fixed point of this process.
    pub monotonic_ms: u64,
}

/// A peer from its first connection after identify to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Where a link leads, as far as diversity needs it: hashes of its /24 and /16 (or /48 and /32), never the
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressGroup {
    /// Hash of the /24 (IPv6: /48).
    pub narrow: u64,
    /// Hash of the /16 (IPv6: /32).
    pub wide: u64,
}

/// Repeated in the answer to a command or a network request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A computation given away, repeated in its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// A gossip message that waits for its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipToken(pub u64);

/// A push cell that waits for its one-byte answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushTicket(pub u64);

/// What the network is told about a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it.
    Accept,
    /// Drop it; nobody is to blame.
    Ignore,
    /// Drop it; the peer that sent it is to blame.
    Reject(Fault),
}

/// Why the network did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody is subscribed to the topic.
    NoPeers,
    /// The link has gone.
    LinkGone,
    /// The peer answered no.
    Refused,
    /// The peer did not answer in time.
    TimedOut,
    /// A queue on our side was full.
    Busy,
}

/// What a reconciliation achieved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncStats {
    /// Envelopes that came.
    pub received: u32,
    /// Envelopes that went.
    pub sent: u32,
    /// Bytes in both directions, frames included.
    pub bytes: u64,
    /// Negentropy rounds.
    pub rounds: u32,
}

/// Why a reconciliation ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncBroken {
    /// The stream broke, or there was none.
    Stream,
    /// The neighbour has no time for it now.
    Busy,
    /// The neighbour broke the protocol.
    Fault(Fault),
}

/// Local number of a contact; shown as `p_...`, its conversation as `c_...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ContactNumber(pub u64);

/// Local number of a message, in the order in which messages were made or came; shown as `m_...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct MessageNumber(pub u64);

/// Local number of an invite; shown as `i_...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct InviteNumber(pub u64);

/// Local number of a contact request; shown as `r_...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct RequestNumber(pub u64);

/// What a person asks of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// State of outbox, store, clock, links.
    Status,
    /// Sets the name that friends see.
    SetName {
        /// UTF-8, at most 64 bytes.
        name: String,
    },
    /// The reusable address of this account.
    Address {
        /// Nodes by which a stranger may join.
        peers: Vec<InvitePeer>,
    },
    /// A new one-use invite.
    CreateInvite {
        /// For whom; the contact gets this name.
        label: Option<String>,
        /// Seconds until it expires.
        expires_s: u32,
        /// Nodes by which the guest may join.
        peers: Vec<InvitePeer>,
    },
    /// All invites made here.
    Invites,
    /// Withdraws an invite.
    RevokeInvite(InviteNumber),
    /// Uses an invite or an address.
    AddContact {
        /// The invite's bytes, already parsed.
        invite: Box<starling_wire::invite::Invite>,
        /// Local name; that of the invite if absent.
        name: Option<String>,
        /// The contact whose new account it is: the history stays, the verified mark is dropped.
        replace: Option<ContactNumber>,
    },
    /// Own texts that their recipients have not confirmed, those that were given up included.
    Undelivered,
    /// Whether an invite could be used; nothing is.
    CheckInvite(Box<starling_wire::invite::Invite>),
    /// All contacts.
    Contacts,
    /// Gives a contact another local name.
    RenameContact {
        /// Whom.
        contact: ContactNumber,
        /// The new name.
        name: String,
    },
    /// Forgets a contact and its sessions; history stays.
    RemoveContact(ContactNumber),
    /// Blocks or unblocks a contact.
    SetBlocked {
        /// Whom.
        contact: ContactNumber,
        /// Whether nothing of theirs is shown from now on.
        blocked: bool,
    },
    /// Sets or drops the mark that the contact's account key is theirs.
    SetVerified {
        /// Whose.
        contact: ContactNumber,
        /// Whether the person found it to be.
        verified: bool,
    },
    /// Sets how long messages to a contact are kept for, where a message does not say otherwise.
    SetExpiry {
        /// Whom.
        contact: ContactNumber,
        /// Seconds after the delivery, 0 for ever.
        expires_s: u32,
    },
    /// Decides between two device lists that carry the contact's signature; without effect when there is one.
    TrustList {
        /// Whose.
        contact: ContactNumber,
        /// Which.
        choice: ListChoice,
    },
    /// People who wrote without an invite.
    Requests,
    /// Accepts or refuses one.
    AnswerRequest {
        /// Which.
        request: RequestNumber,
        /// Accept it.
        accept: bool,
        /// Local name; the one they gave if absent.
        name: Option<String>,
    },
    /// Sends a text, or a file.
    Send {
        /// To whom.
        contact: ContactNumber,
        /// UTF-8 text, at most [`crate::command::TEXT_BYTES_MAX`] bytes; beside a file at most 1,024, or none.
        text: String,
        /// What goes with it, or it with.
        file: Option<Box<OutgoingFile>>,
        /// Number of the message this answers.
        reply_to: Option<MessageNumber>,
        /// The caller's own id: a second send under it returns the first message.
        client_id: Option<[u8; 16]>,
        /// Seconds that both sides keep it for once it was delivered, 0 for ever; that of the conversation if absent.
        expires_s: Option<u32>,
    },
    /// Sets the person's reaction to a message, own or received, in the place of the one before.
    React {
        /// To which.
        target: Box<Target>,
        /// At most 32 bytes without spaces and control characters; `None` takes it back.
        emoji: Option<String>,
    },
    /// Gives an own text another wording, for both.
    Edit {
        /// Which.
        target: Box<Target>,
        /// What it is to say.
        text: String,
    },
    /// Deletes a message.
    Delete {
        /// Which.
        target: Box<Target>,
        /// An own one, for both. Else the message is gone here, and nothing is sent.
        for_both: bool,
    },
    /// The person has read what a contact wrote. They are told, if [`Command::SetReadReceipts`] says so.
    MarkRead {
        /// Whose conversation.
        contact: ContactNumber,
        /// The newest message that was read before, if any was.
        after: Option<MessageNumber>,
        /// The newest message that is read now.
        up_to: MessageNumber,
    },
    /// Sets whether contacts are told what is read here, and what they say of that is heard: both or neither.
    SetReadReceipts(bool),
    /// The present state of a message that is not yet final, and what happened to it.
    Trace(MessageNumber),
    /// All that the core knows that belongs in a backup.
    Export,
}

/// Which of two device lists of one version is the contact's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListChoice {
    /// The one known first.
    Known,
    /// The one that raised the alarm.
    Other,
}

/// Why a command was refused. Each is turned into one error code of the local API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such contact.
    #[error("no such contact")]
    NoSuchContact,
    /// No such message.
    #[error("no such message")]
    NoSuchMessage,
    /// No such invite.
    #[error("no such invite")]
    NoSuchInvite,
    /// No such request.
    #[error("no such request")]
    NoSuchRequest,
    /// A name that is empty, too long, or has control characters.
    #[error("a name is 1 to 64 bytes of text without control characters")]
    BadName,
    /// Another contact has this name.
    #[error("another contact is called that")]
    NameTaken,
    /// This account is a contact already.
    #[error("already a contact")]
    AlreadyContact(ContactNumber),
    /// The invite is of this very account.
    #[error("own invite")]
    OwnInvite,
    /// This node used the invite before.
    #[error("invite used")]
    InviteUsed {
        /// When, ms since 1970.
        used_unix_ms: u64,
    },
    /// The invite's time is over.
    #[error("invite expired")]
    InviteExpired {
        /// When, ms since 1970.
        expired_unix_ms: u64,
    },
    /// The invite is of another network.
    #[error("invite of another network")]
    WrongNetwork,
    /// The text needs more room than an envelope has.
    #[error("the text has {bytes} bytes; {limit_bytes} fit")]
    TooLarge {
        /// Bytes of the text.
        bytes: usize,
        /// Bytes that fit.
        limit_bytes: usize,
    },
    /// The text is empty.
    #[error("the text is empty")]
    EmptyText,
    /// There is nothing in the file.
    #[error("the file is empty")]
    EmptyFile,
    /// A voice note that is too long, or no Opus in Ogg.
    #[error("a voice note is Opus in Ogg, of at most {} s", starling_wire::limits::VOICE_MS_MAX / 1_000)]
    BadVoice,
    /// A reaction that is too long, or has spaces or control characters in it.
    #[error("a reaction is at most {} bytes without spaces and control characters", crate::content::EMOJI_BYTES_MAX)]
    BadEmoji,
    /// Only who wrote a message edits it, or deletes it for both.
    #[error("somebody else wrote the message")]
    NotYours,
    /// Only a text has wordings.
    #[error("the message is not a text")]
    NoText,
    /// The message was deleted for both.
    #[error("the message was deleted")]
    Deleted,
    /// The other side may not know the message any more.
    #[error("the message was written more than {} days ago", limit_ms / 86_400_000)]
    TooOld {
        /// How long it can be changed, ms.
        limit_ms: u64,
    },
    /// A message may not be kept that long before it disappears.
    #[error("a message disappears after {limit_s} seconds at most")]
    ExpiryTooLong {
        /// Longest time, s.
        limit_s: u32,
    },
    /// The contact is blocked.
    #[error("the contact is blocked")]
    Blocked,
    /// The disk is nearly full: nothing is accepted that could be lost.
    #[error("only {free_bytes} bytes are free")]
    DiskFull {
        /// Bytes free.
        free_bytes: u64,
    },
    /// So many messages wait already that no more are taken.
    #[error("the outbox is full")]
    OutboxFull,
    /// So many contacts, or open invites, that no more are taken.
    #[error("no more than {limit}")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Done; nothing to say.
    Done,
    /// To [`Command::Status`].
    Status(Box<StatusView>),
    /// To [`Command::Address`].
    Address(Box<AddressView>),
    /// To [`Command::CreateInvite`].
    Invite(InviteView),
    /// To [`Command::Invites`].
    Invites(Vec<InviteView>),
    /// To [`Command::AddContact`], [`Command::RenameContact`], accepted requests.
    Contact(ContactView),
    /// To [`Command::Undelivered`], the oldest first.
    Undelivered(Vec<UndeliveredView>),
    /// To [`Command::Contacts`].
    Contacts(Vec<ContactView>),
    /// To [`Command::Requests`].
    Requests(Vec<RequestView>),
    /// To [`Command::Send`]. To changes of a message the answer is [`Reply::Done`]: the history has it.
    Message {
        /// The message.
        message: Box<MessageView>,
        /// Its `client_id` was known: nothing new was sent.
        known: bool,
    },
    /// To [`Command::Trace`], oldest line first.
    Trace(Vec<TraceLine>),
    /// To [`Command::Export`].
    Export(Box<Export>),
    /// Refused.
    Refused(CommandError),
}

/// What happens to the node.
#[derive(Debug)]
pub enum Input {
    /// A person asks for something.
    Command {
        /// Repeated in the reply.
        id: RequestId,
        /// What.
        command: Command,
    },
    /// A peer is held by a `link/1` stream and may be used for sync and push.
    LinkUp {
        /// Which.
        link: LinkId,
        /// Where it leads.
        group: AddressGroup,
        /// Whether we dialed it.
        outbound: bool,
        /// Its onion key, for push cells; none when its descriptor lacks one.
        onion_key: [u8; 32],
        /// Its wall clock minus ours when its frame came, ms.
        clock_offset_ms: i64,
    },
    /// The link ended.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// An envelope came by gossip; exactly one verdict goes back.
    Gossip {
        /// For the verdict.
        token: GossipToken,
        /// Who forwarded it.
        link: LinkId,
        /// The envelope.
        envelope: Checked,
    },
    /// Envelopes came by sync.
    Pulled {
        /// From whom.
        link: LinkId,
        /// The envelopes.
        envelopes: Vec<Checked>,
    },
    /// A neighbour asks this node to publish for it (or sends cover); exactly one answer goes back.
    Cell {
        /// From whom.
        link: LinkId,
        /// For the answer.
        ticket: PushTicket,
        /// The sealed cell.
        cell: PushCell,
    },
    /// A reconciliation ended.
    SyncEnded {
        /// With whom.
        link: LinkId,
        /// Over which epochs; those that are left to do when the neighbour was busy.
        window: EpochRange,
        /// Those of the watched ids that the neighbour holds.
        held: Vec<EnvelopeId>,
        /// What it achieved, or why it ended early.
        result: Result<SyncStats, SyncBroken>,
    },
    /// The network did, or did not do, what [`Output::Publish`] or [`Output::Push`] asked.
    Done {
        /// Of the output.
        id: RequestId,
        /// How it went.
        result: Result<(), Refusal>,
    },
    /// A computation ended.
    Computed {
        /// Of the output.
        id: JobId,
        /// Its result.
        result: JobResult,
    },
    /// The disk's free room, whenever it was measured.
    Disk {
        /// Bytes free where the data directory lies.
        free_bytes: u64,
    },
    /// The time that `next_wake` named has come.
    Wake,
}

/// What the node is to do.
#[derive(Debug)]
pub enum Output {
    /// The verdict on a gossip message.
    Verdict {
        /// Of the input.
        token: GossipToken,
        /// What to do with it.
        verdict: Verdict,
    },
    /// Publish, as the exit of somebody's push; answered by [`Input::Done`].
    Publish {
        /// Repeated in the answer.
        id: RequestId,
        /// Where.
        topic: TopicId,
        /// What.
        envelope: Envelope,
    },
    /// Push a cell to a neighbour; answered by [`Input::Done`].
    Push {
        /// Repeated in the answer.
        id: RequestId,
        /// Which neighbour.
        link: LinkId,
        /// The sealed cell.
        cell: PushCell,
    },
    /// The one-byte answer to a neighbour's push.
    CellAnswer {
        /// Of the input.
        ticket: PushTicket,
        /// 0 taken, or 1 refused.
        taken: bool,
    },
    /// Reconcile with a neighbour; answered by [`Input::SyncEnded`].
    StartSync {
        /// Which neighbour.
        link: LinkId,
        /// Over which epochs.
        window: EpochRange,
        /// Ids whose presence at the neighbour is asked.
        watch: Vec<EnvelopeId>,
    },
    /// A neighbour broke the protocol.
    Penalize {
        /// Which.
        link: LinkId,
        /// How.
        fault: Fault,
    },
    /// A computation for a worker; answered by [`Input::Computed`].
    Compute {
        /// Repeated in the answer.
        id: JobId,
        /// What.
        job: Job,
    },
    /// A computation is no longer wanted.
    CancelCompute {
        /// Which.
        id: JobId,
    },
    /// The answer to a command.
    Reply {
        /// Of the command.
        id: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Something a person may want to see. Its sequence number is given where it is committed.
    Event(Event),
}

/// What one step asks for.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be committed durably, together, before any output is released.
    pub writes: Vec<VaultWrite>,
    /// To be released in this order. A turn with an [`Output::Event`] is committed even without writes.
    pub outputs: Vec<Output>,
}
