//! The handshake's transcript and key schedule. SPEC: B3.

use crate::identity::DevicePublic;
use crate::primitives::bytes::Reader;
use crate::primitives::hash::{hkdf, sha256};
use crate::primitives::kem::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES};
use crate::primitives::label;
use crate::primitives::secret::Secret;
use crate::primitives::x25519::{KeyPair, PublicKey, agree_all};

use super::Head;

/// Everything that both sides must agree on, in the order in which it is hashed.
pub(crate) struct Transcript<'a> {
    pub(crate) network: &'a [u8; 32],
    pub(crate) generation: u32,
    pub(crate) initiator: &'a DevicePublic,
    pub(crate) responder: &'a DevicePublic,
    pub(crate) signed_prekey: &'a [u8; 32],
    pub(crate) one_time: Option<&'a [u8; 32]>,
    pub(crate) kem_key: &'a [u8; KEM_PUBLIC_BYTES],
    pub(crate) ephemeral: &'a [u8; 32],
    pub(crate) kem_ciphertext: &'a [u8; KEM_CIPHERTEXT_BYTES],
}

impl Transcript<'_> {
    /// th of B3.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(&[
            label!("handshake"),
            self.network,
            &self.generation.to_le_bytes(),
            &self.initiator.account,
            &self.initiator.signing,
            &self.initiator.agreement,
            &self.responder.account,
            &self.responder.signing,
            &self.responder.agreement,
            self.signed_prekey,
            self.one_time.unwrap_or(&[0; 32]),
            self.kem_key,
            self.ephemeral,
            self.kem_ciphertext,
        ])
    }
}

/// DH1 to DH4 of B3; the last is zeros without a one-time prekey.
pub(crate) struct Agreements([Secret<32>; 4]);

impl Agreements {
    /// `None` if one of them is not contributory.
    pub(crate) fn of_initiator(
        device: &KeyPair,
        ephemeral: &KeyPair,
        responder: &DevicePublic,
        signed_prekey: &PublicKey,
        one_time: Option<&[u8; 32]>,
    ) -> Option<Self> {
        let responder = PublicKey::new(&responder.agreement);
        let (device, ephemeral) = (device.secret(), ephemeral.secret());
        let three = [(device, signed_prekey), (ephemeral, &responder), (ephemeral, signed_prekey)];
        match one_time.map(PublicKey::new) {
            None => Self::without_fourth(three),
            Some(one_time) => Self::with_fourth(three, (ephemeral, &one_time)),
        }
    }

    /// The same four from the other side.
    pub(crate) fn of_responder(
        device: &KeyPair,
        signed_prekey: &KeyPair,
        one_time: Option<&KeyPair>,
        head: &Head,
    ) -> Option<Self> {
        let (initiator, ephemeral) = (PublicKey::new(&head.device.agreement), PublicKey::new(&head.ephemeral));
        let (device, signed_prekey) = (device.secret(), signed_prekey.secret());
        let three = [(signed_prekey, &initiator), (device, &ephemeral), (signed_prekey, &ephemeral)];
        match one_time {
            None => Self::without_fourth(three),
            Some(one_time) => Self::with_fourth(three, (one_time.secret(), &ephemeral)),
        }
    }

    fn without_fourth(three: [(&Secret<32>, &PublicKey); 3]) -> Option<Self> {
        let [first, second, third] = agree_all(three)?;
        Some(Self([first, second, third, Secret::new([0; 32])]))
    }

    fn with_fourth(three: [(&Secret<32>, &PublicKey); 3], fourth: (&Secret<32>, &PublicKey)) -> Option<Self> {
        let [first, second, third] = three;
        agree_all([first, second, third, fourth]).map(Self)
    }

    /// DH1 to DH4.
    #[cfg(test)]
    pub(crate) const fn as_array(&self) -> &[Secret<32>; 4] {
        &self.0
    }

    /// RK0 || HK_i || HK_r || sid of B3.
    pub(crate) fn roots(&self, transcript_hash: &[u8; 32], kem_shared: &Secret<32>) -> Roots {
        let Self([dh1, dh2, dh3, dh4]) = self;
        let material: Secret<128> = hkdf(
            transcript_hash,
            &[&[0xff; 32], dh1.as_bytes(), dh2.as_bytes(), dh3.as_bytes(), dh4.as_bytes(), kem_shared.as_bytes()],
            label!("root"),
        );
        let mut reader = Reader::new(material.as_bytes());
        let mut next = || Secret::new(reader.array().unwrap_or([0; 32]));
        Roots { root: next(), initiator_header: next(), responder_header: next(), session_salt: next() }
    }
}

/// What a handshake yields.
pub(crate) struct Roots {
    /// RK0.
    pub(crate) root: Secret<32>,
    /// HK_i: header key of the initiator's first chain.
    pub(crate) initiator_header: Secret<32>,
    /// HK_r: header key of the responder's first chain.
    pub(crate) responder_header: Secret<32>,
    /// sid: salts every message key of the session.
    pub(crate) session_salt: Secret<32>,
}
