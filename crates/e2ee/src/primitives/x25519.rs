//! X25519 (RFC 7748) with the contributory check that the protocol demands of every agreement. SPEC: B0.

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use x25519_dalek::{PublicKey, StaticSecret};

use super::secret::Secret;

/// X(secret, public) of B0, or `None` if the result is all zero: the public key is of small order, and
/// whoever chose it would know the result (RFC 7748, section 6.1).
pub(crate) fn agree(secret: &Secret<32>, public: &[u8; 32]) -> Option<Secret<32>> {
    let shared = StaticSecret::from(*secret.as_bytes()).diffie_hellman(&PublicKey::from(*public));
    shared.was_contributory().then(|| Secret::new(*shared.as_bytes()))
}

/// The public key of `secret`.
pub(crate) fn public_of(secret: &Secret<32>) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret.as_bytes())).to_bytes()
}

/// clr(E) of B0: bit 255, which carries no meaning in X25519, cleared.
pub(crate) const fn clear_top_bit(mut public: [u8; 32]) -> [u8; 32] {
    let [.., last] = &mut public;
    *last &= 0x7f;
    public
}

/// A key pair for agreement. Encoded as its secret half.
#[derive(Clone)]
pub(crate) struct KeyPair {
    secret: Secret<32>,
    public: [u8; 32],
}

impl KeyPair {
    pub(crate) fn generate(rng: &mut impl rand_core::CryptoRng) -> Self {
        Self::from_secret(Secret::generate(rng))
    }

    pub(crate) fn from_secret(secret: Secret<32>) -> Self {
        let public = public_of(&secret);
        Self { secret, public }
    }

    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    pub(crate) const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    pub(crate) fn agree(&self, public: &[u8; 32]) -> Option<Secret<32>> {
        agree(&self.secret, public)
    }
}

impl Serialize for KeyPair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.secret.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyPair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(Self::from_secret)
    }
}
