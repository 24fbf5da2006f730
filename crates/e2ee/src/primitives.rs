//! The cryptographic building blocks, each behind the one function that this protocol needs of it. SPEC: B0.
//!
//! Nothing outside this folder names a cryptographic crate, so what an algorithm is fed, and which of its
//! failures are possible at all, is decided here once.

pub(crate) mod aead;
pub(crate) mod blake3_lanes;
pub(crate) mod bytes;
pub(crate) mod hash;
pub(crate) mod kem;
pub(crate) mod secret;
pub(crate) mod signature;
pub(crate) mod x25519;

/// L("x") of B0: ASCII `starling/1 x` and a zero byte, so that no label is a prefix of another.
macro_rules! label {
    ($name:literal) => {
        concat!("starling/1 ", $name, "\0").as_bytes()
    };
}
pub(crate) use label;
