//! The whole node without input and output: contacts, invites, conversations, outbox, inbox, and the
//! carrying of strangers' envelopes. One [`turn::Input`] goes in with a time and randomness, one
//! [`turn::Turn`] of records to write and outputs to release comes out. The daemon and the simulator
//! drive the same type.

pub mod job;
pub mod record;
pub mod turn;
pub mod view;
