//! Whole messengers talking in one process: what a person would notice.

mod conversation;
mod crash;
mod delivery;
mod full_pool;
mod net;
mod people;
mod storm;
mod trust;
