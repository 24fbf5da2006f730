//! Whole messengers talking in one process: what a person would notice.

mod changes;
mod clock;
mod conversation;
mod crash;
mod delivery;
mod expiry;
mod files;
mod full_pool;
mod long_texts;
mod net;
mod people;
mod post_quantum;
mod reading;
mod restore;
mod storm;
mod trust;
