//! Keys of messages that have been overtaken and may still come. SPEC: B10.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::primitives::secret::Secret;
use crate::seal::Tag;

use super::SessionId;
use super::tags::Position;

/// Skipped keys of a session, at most; the oldest go first.
pub const SKIPPED_MAX: usize = 1_024;
/// Seconds for which a skipped key is kept: 15 days, one more than an envelope lives.
pub const SKIPPED_LIFETIME_S: u64 = 15 * 24 * 3_600;

/// The key of one message that has not come. A record of its own beside its session's.
#[derive(Clone, Serialize, Deserialize)]
pub struct SkippedKey {
    session: SessionId,
    position: Position,
    tag: Tag,
    expiry_unix_s: u64,
    message_key: Secret<32>,
}

impl SkippedKey {
    pub(super) fn new(
        session: SessionId,
        position: Position,
        tag: Tag,
        message_key: Secret<32>,
        now_unix_ms: u64,
    ) -> Self {
        let expiry_unix_s = (now_unix_ms / 1_000).saturating_add(SKIPPED_LIFETIME_S);
        Self { session, position, tag, expiry_unix_s, message_key }
    }

    /// The session it belongs to.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The tag of its message. Watched since before the message was overtaken, and under the same position.
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// Seconds since 1970 from which it is erased.
    pub const fn expiry_unix_s(&self) -> u64 {
        self.expiry_unix_s
    }
}

/// All skipped keys of a session. Chains and numbers only grow, so the order of positions is that of age.
#[derive(Default)]
pub(super) struct SkippedKeys(BTreeMap<Position, SkippedKey>);

impl SkippedKeys {
    pub(super) fn message_key(&self, position: Position) -> Option<&Secret<32>> {
        self.0.get(&position).map(|key| &key.message_key)
    }

    pub(super) fn remove(&mut self, position: Position) -> Option<Tag> {
        self.0.remove(&position).map(|key| key.tag)
    }

    /// Adds `keys` and drops the oldest that are too many; returns the tags of those.
    pub(super) fn add(&mut self, keys: impl IntoIterator<Item = SkippedKey>) -> Vec<Tag> {
        self.0.extend(keys.into_iter().map(|key| (key.position, key)));
        let mut dropped = Vec::new();
        while self.0.len() > SKIPPED_MAX {
            dropped.extend(self.0.pop_first().map(|(_, key)| key.tag));
        }
        dropped
    }

    /// Drops what has expired; returns the tags.
    pub(super) fn expire(&mut self, now_unix_s: u64) -> Vec<Tag> {
        self.0.extract_if(.., |_, key| key.expiry_unix_s <= now_unix_s).map(|(_, key)| key.tag).collect()
    }

    pub(super) fn watched(&self) -> impl Iterator<Item = (Tag, Position)> {
        self.0.iter().map(|(position, key)| (key.tag, *position))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
