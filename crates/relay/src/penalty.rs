//! Faults of peers, and what each costs. A fault is the peer's own doing, provable from its bytes:
//! nothing that a clock difference, a late relay or our own disk could explain is one.

use thiserror::Error;

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Fault {
    /// Bytes that are no envelope.
    #[error("malformed envelope")]
    MalformedEnvelope,
    /// An envelope of a topic that this node does not serve.
    #[error("envelope of another topic")]
    WrongTopic,
    /// An effort that the network does not have.
    #[error("effort outside the network's steps")]
    WrongEffort,
    /// A stamp that does not hold.
    #[error("bad stamp")]
    BadStamp,
    /// An epoch outside the window: clocks differ, so no penalty.
    #[error("epoch outside the window")]
    EpochOutOfWindow,
    /// A frame that breaks the sync protocol.
    #[error("sync protocol violated")]
    SyncViolation,
    /// A push cell of the wrong size, or one that does not open.
    #[error("push cell does not open")]
    BadCell,
    /// A push cell that was pushed before.
    #[error("replayed push cell")]
    ReplayedCell,
    /// More pushes than the link's quota.
    #[error("push quota exceeded")]
    PushQuota,
}

/// What a fault costs the peer that committed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Penalty {
    /// Nothing: honest peers do it too.
    None,
    /// The message is refused, and the peer's score falls.
    Score,
    /// The link is closed and the peer is blocked for an hour.
    Block,
}

impl Fault {
    /// The penalty of this fault.
    pub const fn penalty(self) -> Penalty {
        match self {
            Self::EpochOutOfWindow | Self::ReplayedCell | Self::PushQuota | Self::BadCell => Penalty::None,
            Self::WrongTopic => Penalty::Score,
            Self::MalformedEnvelope | Self::WrongEffort | Self::BadStamp | Self::SyncViolation => Penalty::Block,
        }
    }
}
