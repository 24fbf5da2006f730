//! What the core of the chat hears and what it asks for: everything that it knows of the world outside.

use starling_api::message::{Conversation, ConversationMarks, Message, Messages};
use starling_api::people::Contact;
use starling_api::{ContactId, ConversationId, EventBody, MessageId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// A key.
    Key(Key),
    /// A text that was pasted as a whole.
    Paste(String),
    /// A mouse: only with `--mouse`.
    Mouse(Mouse),
    /// The terminal has another size now.
    Resized(Size),
    /// No key will come any more.
    NoKeyboard,
    /// Time went on: what is said relative to now has to be said anew.
    Minute,
    /// The node answers, and its events come from now on.
    Connected(Node),
    /// The node does not answer, or not yet.
    Gone(Gone),
    /// All conversations, last activity first: at the start, and when events were missed.
    Conversations(Vec<Conversation>),
    /// An event of the node, each once and in order.
    Event(Box<EventBody>),
    /// What came of an [`Ask`].
    Answer(Box<Answer>),
}

/// A key, as far as it means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A character.
    Char(char),
    /// Sends.
    Enter,
    /// Alt-Enter: a new line.
    NewLine,
    /// Goes on to the other pane.
    Tab,
    /// Goes back to the other pane.
    BackTab,
    /// Cursor up.
    Up,
    /// Cursor down.
    Down,
    /// Cursor left.
    Left,
    /// Cursor right.
    Right,
    /// To the begin.
    Home,
    /// To the end.
    End,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Deletes before the cursor.
    Backspace,
    /// Deletes at the cursor.
    Delete,
    /// Ctrl-W: deletes the word before the cursor.
    DeleteWord,
    /// Ctrl-U: deletes the line before the cursor.
    DeleteLine,
    /// Back.
    Escape,
    /// Ctrl-L: all of the screen is drawn again.
    Redraw,
    /// Ctrl-C: ends.
    Interrupt,
}

/// What a mouse did, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mouse {
    /// The wheel, away from the person.
    WheelUp(Place),
    /// The wheel, towards the person.
    WheelDown(Place),
    /// The left button.
    Click(Place),
}

/// A cell of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// From the left.
    pub(crate) column: u16,
    /// From the top.
    pub(crate) row: u16,
}

/// Columns and rows of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Columns.
    pub(crate) columns: u16,
    /// Rows.
    pub(crate) rows: u16,
}

/// The node as it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its state in one word.
    pub(crate) state: &'static str,
    /// Connected peers.
    pub(crate) peers: u32,
}

/// Why the node does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It does not run.
    Stopped,
    /// It waits for its passphrase.
    Locked,
}

/// What the core asks of the world.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// A request to the node; its [`Answer`] comes as an input.
    Ask(Ask),
    /// All of the screen is drawn again.
    Redraw,
    /// The end.
    Quit,
}

/// A request to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A page of history.
    Messages {
        /// Of which conversation.
        conversation: ConversationId,
        /// Only messages before this one; the newest if absent.
        before: Option<MessageId>,
    },
    /// One message that an event told of.
    Message(MessageId),
    /// Sends a text. Safe to repeat.
    Send {
        /// To whom.
        conversation: ConversationId,
        /// A UUID.
        client_id: String,
        /// What.
        text: String,
    },
    /// All up to this message was read.
    Read {
        /// Where.
        conversation: ConversationId,
        /// The newest message of the contact.
        up_to: MessageId,
    },
    /// How long messages to a contact are kept; 0 for ever.
    Expires {
        /// To whom.
        contact: ContactId,
        /// Seconds after their delivery.
        expires_s: u32,
    },
    /// What both sides compare.
    Verification(ContactId),
    /// The life of a message.
    Trace(MessageId),
    /// Uses an invite.
    Add(String),
    /// Makes an invite for somebody.
    Invite(Option<String>),
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The request.
    pub(crate) ask: Ask,
    /// What it brought.
    pub(crate) outcome: Result<Reply, Problem>,
}

/// What a request brought.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// To [`Ask::Messages`].
    Messages(Messages),
    /// To [`Ask::Message`] and [`Ask::Send`].
    Message(Message),
    /// To [`Ask::Read`].
    Marks(ConversationMarks),
    /// To [`Ask::Expires`]: the contact, and how it is said.
    Contact(Contact, String),
    /// To [`Ask::Add`]: the new contact.
    Added(Contact),
    /// To what shows several lines.
    Panel {
        /// What they are.
        title: String,
        /// The lines.
        lines: Vec<String>,
    },
}

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What is wrong, in whole sentences.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// Whether the node may have taken the request all the same.
    pub(crate) unsure: bool,
}
