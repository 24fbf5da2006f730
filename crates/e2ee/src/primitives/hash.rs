//! SHA-256, HMAC and HKDF over it (RFC 2104, RFC 5869), SHA-512, and keyed BLAKE3. SPEC: B0, B4, B18.

use hkdf::HkdfExtract;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::secret::Secret;

/// H of B0 over the concatenation of `parts`.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// SHA-512 over the concatenation of `parts`.
pub(crate) fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC of B0.
#[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 3)")]
pub(crate) fn hmac(key: &[u8; 32], message: &[u8]) -> Secret<32> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    Secret::new(mac.finalize().into_bytes().into())
}

/// HKDF of B0 with `N` bytes of output; the input key material is the concatenation of `parts`.
#[expect(clippy::expect_used, reason = "N is checked against RFC 5869's limit when compiled")]
pub(crate) fn hkdf<const N: usize>(salt: &[u8], parts: &[&[u8]], info: &[u8]) -> Secret<N> {
    const { assert!(N <= 255 * 32, "RFC 5869, section 2.3") };
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    for part in parts {
        extract.input_ikm(part);
    }
    let (mut pseudorandom_key, expand) = extract.finalize();
    let mut output = Secret::new([0; N]);
    expand.expand(info, output.as_mut_bytes()).expect("N is within the limit");
    zeroize::Zeroize::zeroize(pseudorandom_key.as_mut_slice());
    output
}

/// B3 of B0: the first `N` bytes of keyed BLAKE3's output over the concatenation of `parts`.
pub(crate) fn keyed_blake3<const N: usize>(key: &[u8; 32], parts: &[&[u8]]) -> Secret<N> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    let mut output = Secret::new([0; N]);
    hasher.finalize_xof().fill(output.as_mut_bytes());
    output
}
