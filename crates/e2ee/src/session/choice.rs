//! Which of several sessions with a device is sent on, and when a new handshake is due. Pure functions. SPEC: B7.
//!
//! Both sides order the sessions they share in the same way, so two crossing first contacts converge on one session
//! without a message about it.

use core::cmp::Reverse;

use super::SessionId;

/// Seconds for which a message may stay unacknowledged before a new handshake: 14 days.
pub const RECOVERY_AFTER_S: u64 = 14 * 24 * 3_600;
/// Seconds between two recoveries with a device: a day.
pub const RECOVERY_INTERVAL_S: u64 = 24 * 3_600;

/// The order of sessions with a device: the higher generation, then the bytewise smaller EK, is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    generation: u32,
    id: Reverse<SessionId>,
}

impl Rank {
    pub(super) const fn new(generation: u32, id: SessionId) -> Self {
        Self { generation, id: Reverse(id) }
    }
}

/// What decides on a recovery. All times in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoverySigns {
    /// When the oldest message that is still unacknowledged was first sealed.
    pub oldest_unacknowledged_unix_s: Option<u64>,
    /// [`super::Session::chain_exhausted`] of the best-ranked session.
    pub chain_exhausted: bool,
    /// When the newest session with the device was made, by either side.
    pub last_handshake_unix_s: u64,
    /// When this device last made one to recover.
    pub last_recovery_unix_s: Option<u64>,
    /// Creation of the newest valid bundle of the device.
    pub bundle_created_hour: u32,
}

/// Whether to make a new handshake of the next generation now: a message has been unacknowledged for 14 days or the
/// chain is full, and the peer has published a bundle since the last handshake (so it lives, and that handshake is
/// not what it waits for). At most one a day and device.
pub fn recovery_due(signs: &RecoverySigns, now_unix_s: u64) -> bool {
    let since = |then: u64, span: u64| then.saturating_add(span) <= now_unix_s;
    let is_stuck =
        signs.chain_exhausted || signs.oldest_unacknowledged_unix_s.is_some_and(|then| since(then, RECOVERY_AFTER_S));
    let has_newer_bundle = u64::from(signs.bundle_created_hour).saturating_mul(3_600) > signs.last_handshake_unix_s;
    let is_rested = signs.last_recovery_unix_s.is_none_or(|then| since(then, RECOVERY_INTERVAL_S));
    is_stuck && has_newer_bundle && is_rested
}
