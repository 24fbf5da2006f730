//! ChaCha20-Poly1305 (RFC 8439) with keys that are used for one message each. SPEC: B0.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};

use super::bytes::Reader;
use super::secret::Secret;

/// Bytes by which a ciphertext is longer than its plaintext.
pub(crate) const AEAD_TAG_BYTES: usize = 16;

/// Key and nonce of exactly one ciphertext, derived together.
pub(crate) struct OneTimeKey {
    key: Secret<32>,
    nonce: [u8; 12],
}

impl OneTimeKey {
    /// `key 32 | nonce 12`, as the key schedule puts them out.
    pub(crate) fn new(material: &Secret<44>) -> Self {
        let (key, nonce) = split(material.as_bytes());
        Self { key: Secret::new(key), nonce }
    }

    /// Encrypts the room given in `buffer` after `start`, and appends the tag.
    #[expect(clippy::expect_used, reason = "an envelope is far below the 256 GiB that the cipher takes")]
    pub(crate) fn seal(self, associated_data: &[u8], buffer: &mut Vec<u8>, start: usize) {
        let plaintext = buffer.get_mut(start..).unwrap_or_default();
        let tag = self
            .cipher()
            .encrypt_inout_detached(&Nonce::from(self.nonce), associated_data, InOutBuf::from(plaintext))
            .expect("an envelope is below the cipher's limit");
        buffer.extend_from_slice(&tag);
    }

    /// The plaintext of `ciphertext` (its tag at the end), or `None` if it is not authentic.
    pub(crate) fn open(self, associated_data: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
        let (body, tag) = ciphertext.split_last_chunk::<AEAD_TAG_BYTES>()?;
        let mut plaintext = body.to_vec();
        self.cipher()
            .decrypt_inout_detached(
                &Nonce::from(self.nonce),
                associated_data,
                InOutBuf::from(plaintext.as_mut_slice()),
                &Tag::from(*tag),
            )
            .ok()?;
        Some(plaintext)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(*self.key.as_bytes()))
    }
}

/// The first 32 and the last 12 bytes.
fn split(material: &[u8; 44]) -> ([u8; 32], [u8; 12]) {
    let mut reader = Reader::new(material);
    let key = reader.array().unwrap_or([0; 32]);
    let nonce = reader.array().unwrap_or([0; 12]);
    (key, nonce)
}
