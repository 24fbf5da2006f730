//! What a node does for anyone: decides which envelopes enter, keeps them by one rule, reconciles
//! them with neighbours, and publishes what others push through it. This crate carries strangers'
//! mail and cannot link the crate that opens mail.

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

pub mod admit;
pub mod budget;
pub mod expire;
mod memory_pool;
pub mod penalty;
pub mod pool;
pub mod push;
pub mod stamp;
pub mod sync;
mod tag_matches;
