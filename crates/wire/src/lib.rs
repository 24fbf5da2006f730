//! Every byte that strangers see: envelopes, ids, sync frames, push cells, descriptors, invites,
//! their limits, and the one codec. Nothing in this crate is secret, and nothing here does I/O,
//! reads a clock or draws a random number.
//!
//! A decoder here accepts or refuses; it never repairs. Every length read from outside is held
//! against [`limits`] before it sizes anything.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod codec;
pub mod descriptor;
pub mod envelope;
pub mod frame;
pub mod invite;
pub mod limits;
pub mod link_frame;
pub mod network;
pub mod push_cell;
pub mod sync_frame;
