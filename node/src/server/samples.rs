//! States of the core for tests of what is said about them.

use starling_messenger::turn::ContactNumber;
use starling_messenger::view::{ContactState, ContactView, StatusView};

/// A node of which nothing is to be told.
pub(crate) fn status() -> StatusView {
    StatusView {
        name: "Ana".to_owned(),
        outbox_queued: 0,
        outbox_undelivered: 0,
        neighbours: 6,
        envelopes: 0,
        envelope_bytes: 0,
        clock_offset_ms: Some((-104, 9)),
        clock_agreeing: 0,
        clock_holds_sends: false,
        requests: 0,
        forked: Vec::new(),
        marks_lost: Vec::new(),
        read_receipts: false,
        recovered: 0,
        replaced: false,
        at_unix_ms: 0,
    }
}

/// A contact that can be written to.
pub(crate) fn contact(number: u64, name: &str) -> ContactView {
    ContactView {
        number: ContactNumber(number),
        name: name.to_owned(),
        state: ContactState::Ready,
        account: [1; 32],
        added_unix_ms: 0,
        last_heard_unix_ms: None,
        last_activity_unix_ms: 0,
        verified_unix_ms: None,
        mark_lost: false,
        devices_changed_unix_ms: None,
        expires_s: 0,
    }
}
