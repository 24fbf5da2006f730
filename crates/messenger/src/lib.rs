//! The whole node without input and output: contacts, invites, conversations, outbox, inbox, and the
//! carrying of strangers' envelopes. One [`turn::Input`] goes in with a time and randomness, one
//! [`turn::Turn`] of records to write and outputs to release comes out. The daemon and the simulator
//! drive the same type, [`messenger::Messenger`].

pub mod backup;
mod carrier;
pub mod change;
mod changing;
mod clock;
pub mod command;
mod contact;
mod content;
pub mod conversation;
mod delay;
mod device;
mod early;
mod expiry;
mod file;
mod filling;
mod first_contact;
mod generation;
mod inbox;
mod invitation;
pub mod job;
mod message_id;
pub mod messenger;
mod outbox;
mod parts;
mod people;
mod post;
mod post_quantum;
mod pushing;
mod reading;
mod reassembly;
mod receipt;
mod receiving;
pub mod record;
mod returns;
mod seen;
mod sending;
mod sessions;
mod stored;
mod sync_plan;
mod target;
mod timers;
mod trust;
pub mod turn;
mod upkeep;
pub mod view;

pub use changing::CHANGEABLE_MS;
pub use content::fuzz_content;
pub use conversation::arrange;
pub use expiry::EXPIRES_S_MAX;
pub use file::{FILE_BYTES_MAX, clean_file_name};
pub use messenger::{MemoryUse, Messenger, Setup};
pub use stored::RestoreError;
