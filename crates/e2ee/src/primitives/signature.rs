//! Ed25519 (RFC 8032) over a label and a message, always verified strictly. SPEC: B0.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::secret::Secret;

/// Bytes of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// A key that signs. Encoded as its seed of 32 bytes. Wiped on drop by `ed25519-dalek`.
#[derive(Clone)]
pub(crate) struct SignatureKey(SigningKey);

impl SignatureKey {
    pub(crate) fn generate(rng: &mut impl rand_core::CryptoRng) -> Self {
        Self::from_seed(&Secret::generate(rng))
    }

    fn from_seed(seed: &Secret<32>) -> Self {
        Self(SigningKey::from_bytes(seed.as_bytes()))
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs the concatenation of `parts`.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&parts.concat()).to_bytes()
    }
}

/// Whether `signature` is `public`'s over the concatenation of `parts`. Refuses keys and nonces of small order
/// and every malleated form (`verify_strict`).
pub(crate) fn verify(public: &[u8; 32], parts: &[&[u8]], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(public) else { return false };
    key.verify_strict(&parts.concat(), &Signature::from_bytes(signature)).is_ok()
}

impl Serialize for SignatureKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Secret::new(self.0.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SignatureKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(|seed| Self::from_seed(&seed))
    }
}
