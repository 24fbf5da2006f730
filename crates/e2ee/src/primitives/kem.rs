//! ML-KEM-768 (FIPS 203), by libcrux's formally verified implementation. SPEC: B3, B8.

use libcrux_ml_kem::mlkem768;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::secret::Secret;

/// Bytes of an encapsulation key.
pub(crate) const KEM_PUBLIC_BYTES: usize = 1_184;
/// Bytes of a ciphertext.
pub(crate) const KEM_CIPHERTEXT_BYTES: usize = 1_088;
/// Bytes of a decapsulation key, expanded: keeping it costs 2,400 B a bundle and saves its generation
/// (22 us) at every first contact.
const KEM_SECRET_BYTES: usize = 2_400;
/// Where in an expanded decapsulation key its encapsulation key stands (FIPS 203, algorithm 16: dk_PKE || ek || ..).
const KEM_PUBLIC_OFFSET: usize = 1_152;

/// A decapsulation key. Boxed, so that moving its owner leaves no copies behind.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KemSecret(Box<Secret<KEM_SECRET_BYTES>>);

impl KemSecret {
    /// A fresh key pair from 64 bytes of `rng` (d and z of FIPS 203, algorithm 16).
    pub(crate) fn generate(rng: &mut impl rand_core::CryptoRng) -> (Self, [u8; KEM_PUBLIC_BYTES]) {
        let seed = Secret::<64>::generate(rng);
        let (secret, public) = mlkem768::generate_key_pair(*seed.as_bytes()).into_parts();
        let mut expanded = <[u8; KEM_SECRET_BYTES]>::from(secret);
        let boxed = Box::new(Secret::new(expanded));
        expanded.zeroize();
        (Self(boxed), public.into())
    }

    /// The encapsulation key.
    pub(crate) fn public(&self) -> &[u8; KEM_PUBLIC_BYTES] {
        let (_, from_public) = self.0.as_bytes().split_at(KEM_PUBLIC_OFFSET);
        from_public.first_chunk().unwrap_or(&[0; KEM_PUBLIC_BYTES])
    }

    /// The expanded key.
    #[cfg(test)]
    pub(crate) fn expanded(&self) -> &[u8; KEM_SECRET_BYTES] {
        self.0.as_bytes()
    }

    /// The shared secret of `ciphertext`. A ciphertext that was tampered with gives another, unpredictable one
    /// (implicit rejection), so there is nothing to report.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8; KEM_CIPHERTEXT_BYTES]) -> Secret<32> {
        let secret = mlkem768::MlKem768PrivateKey::from(self.0.as_bytes());
        let mut shared = mlkem768::decapsulate(&secret, &ciphertext.into());
        let result = Secret::new(shared);
        shared.zeroize();
        <[u8; KEM_SECRET_BYTES]>::from(secret).zeroize();
        result
    }
}

/// The encapsulation key check of FIPS 203, section 7.2: to be made once, before the first encapsulation.
pub(crate) fn is_valid_key(public: &[u8; KEM_PUBLIC_BYTES]) -> bool {
    mlkem768::validate_public_key(&public.into())
}

/// Encapsulates to `public` with 32 bytes of randomness (m of FIPS 203, algorithm 17).
pub(crate) fn encapsulate(
    public: &[u8; KEM_PUBLIC_BYTES],
    randomness: &Secret<32>,
) -> ([u8; KEM_CIPHERTEXT_BYTES], Secret<32>) {
    let (ciphertext, mut shared) = mlkem768::encapsulate(&public.into(), *randomness.as_bytes());
    let secret = Secret::new(shared);
    shared.zeroize();
    (ciphertext.into(), secret)
}
