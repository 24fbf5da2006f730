//! End-to-end encryption: identity, prekeys, handshake, ratchet sessions; what two people compare to be sure of each
//! other. SPEC: B0, B3-B8, B10, B11, B18.
//!
//! Pure: state and bytes go in, state and bytes come out. There is no clock, no disk, no network and no
//! source of randomness in here; time and `rand_core::CryptoRng` are arguments. The crate knows nothing of the
//! project's other crates: an envelope reaches it as [`seal::Parts`] and leaves it as [`seal::Sealed`].
//!
//! One conversation, in the order of the calls:
//!
//! 1. Each side has an [`identity::Identity`] and [`prekey::Prekeys`], and publishes a bundle
//!    ([`prekey::Prekeys::seal_bundle`]).
//! 2. The initiator reads the bundle ([`prekey::Bundle::open`]), makes a session of it
//!    ([`handshake::initiate`]) and seals first contacts ([`session::Session::seal_first_contact`]).
//! 3. The responder recognises one ([`handshake::recognise`]) and accepts it ([`handshake::accept`]).
//! 4. Both seal and open messages ([`session::Session::seal`], [`session::Session::open`]), recognising their own
//!    among strangers' by one look-up of the envelope's tag ([`session::TagIndex`]).
//!
//! Secrets are wiped on drop, have no `Debug` and appear in no error. Every failure to open is the same
//! [`seal::OpenError`]. A failed call leaves its session as it was, to the byte.

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

pub mod handshake;
pub mod identity;
pub mod prekey;
mod primitives;
pub mod record;
pub mod seal;
pub mod session;
pub mod verification;

#[cfg(test)]
mod tests;
