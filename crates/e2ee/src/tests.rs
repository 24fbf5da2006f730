//! Behaviour of the whole crate, as a peer or an attacker would meet it.

mod bundles;
mod conversation;
mod first_contacts;
mod records;
mod vectors;
pub(crate) mod world;
mod wycheproof;
