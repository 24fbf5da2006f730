//! Own prekeys: what others need in order to write to this device while it is away, and when each private half
//! is erased. SPEC: B6.
//!
//! A bundle is renewed every 7 days and usable for 14; its private halves are kept for 29 days from creation, since
//! a first contact sealed on a bundle's last day may lie in the network for 14 days more. The inbox key INB only
//! hides who writes, and names the writers of recorded first contacts to whoever gets it; it lasts four bundles,
//! so that recognising a stranger's first contact costs one or two agreements, not five.

mod bundle;

use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::primitives::aead::OneTimeKey;
use crate::primitives::bytes::boxed_array;
use crate::primitives::kem::{KEM_PUBLIC_BYTES, KemSecret};
use crate::primitives::secret::Secret;
use crate::primitives::x25519::KeyPair;
use crate::seal::{Ephemeral, HeadPrefix, SMALL_PLAINTEXT_BYTES, Sealed, ad0};

#[cfg(test)]
pub(crate) use bundle::bundle_key;
pub use bundle::{BUNDLE_TRIES_MAX, Bundle, BundleError, Pinned, bundle_tag, fuzz_bundle, weeks_to_read};

/// Hours from a bundle's creation until a new one is made.
pub const RENEWAL_HOURS: u32 = 7 * 24;
/// Hours from a bundle's creation during which others use it.
pub const USABLE_HOURS: u32 = 14 * 24;
/// Hours from a bundle's creation until its private halves are erased. For an inbox key: from the creation of the
/// last bundle that names it.
pub const KEEP_HOURS: u32 = 29 * 24;
/// Hours by which clocks may differ.
pub const CLOCK_SLACK_HOURS: u32 = 2;
/// Hours from a bundle's creation during which first contacts may be sealed that name it, those that repeat a
/// handshake included: one lies in the network for 14 days and an hour of slack, and has to be opened before the
/// private halves are erased.
pub const FIRST_CONTACT_HOURS: u32 = KEEP_HOURS - (14 * 24 + 1) - CLOCK_SLACK_HOURS;
/// Inbox keys alive at a time.
pub const INBOX_KEYS_MAX: usize = 2;
/// Bundles whose private halves are kept at a time. Weekly renewal needs five; the limit is for clocks that jump.
const BUNDLES_MAX: usize = 16;
/// An inbox key serves this many bundles.
const BUNDLES_PER_INBOX_KEY: u32 = 4;

/// An inbox key with its private half: recognises first contacts, opens their outer layer, and no more.
/// Cloned into the worker that tries strangers' envelopes.
#[derive(Clone, Serialize, Deserialize)]
pub struct InboxKey {
    pub(crate) keys: KeyPair,
    /// Creation of the last bundle that names it.
    named_hour: u32,
}

/// A bundle of ours: its private halves, and its signed bytes, which are never signed again.
#[derive(Serialize, Deserialize)]
pub(crate) struct OwnBundle {
    pub(crate) seq: u32,
    pub(crate) created_hour: u32,
    pub(crate) signed_prekey: KeyPair,
    pub(crate) kem_secret: KemSecret,
    #[serde(with = "boxed_array")]
    pub(crate) kem_key: Box<[u8; KEM_PUBLIC_BYTES]>,
    pub(crate) signed: Vec<u8>,
}

/// All prekeys of this device.
#[derive(Default, Serialize, Deserialize)]
pub struct Prekeys {
    /// Highest seq ever signed.
    last_seq: u32,
    /// Oldest first.
    bundles: Vec<OwnBundle>,
    /// Oldest first; the last one is named by new bundles.
    inbox_keys: Vec<InboxKey>,
}

impl Prekeys {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether [`Self::renew`] is due: no bundle yet, the newest is 7 days old, or it is dated in a future that no
    /// reader would accept.
    pub fn needs_renewal(&self, now_hour: u32) -> bool {
        self.bundles.last().is_none_or(|bundle| {
            bundle.created_hour.saturating_add(RENEWAL_HOURS) <= now_hour
                || bundle.created_hour > now_hour.saturating_add(CLOCK_SLACK_HOURS)
        })
    }

    /// Makes and signs a new bundle, also when none is due (the shard has changed). Returns its seq, which is higher
    /// than all before. Erases nothing for being old, so that a clock that is wrong does no harm: call
    /// [`Self::erase`] before it. Draws 32 bytes for SPK, 64 for the KEM, and 32 for INB if that changes.
    pub fn renew(
        &mut self,
        identity: &Identity,
        shard: u32,
        now_hour: u32,
        rng: &mut impl rand_core::CryptoRng,
    ) -> u32 {
        let seq = self.last_seq.saturating_add(1);
        let signed_prekey = KeyPair::generate(rng);
        let (kem_secret, kem_key) = KemSecret::generate(rng);
        let inbox = self.inbox_for(seq, now_hour, rng);
        let bundle = Bundle {
            device: identity.public(),
            list: identity.list_head(),
            cert: *identity.cert(),
            shard,
            seq,
            created_hour: now_hour,
            signed_prekey: *signed_prekey.public(),
            inbox,
            kem_key: Box::new(kem_key),
        };
        let (signed, kem_key) = (bundle.sign(identity), bundle.kem_key);
        self.last_seq = seq;
        if self.bundles.len() >= BUNDLES_MAX {
            self.bundles.remove(0);
        }
        self.bundles.push(OwnBundle { seq, created_hour: now_hour, signed_prekey, kem_secret, kem_key, signed });
        seq
    }

    /// Erases the private halves whose time is over. Returns the seqs of the bundles erased; with a bundle ends the
    /// reason to remember the first contacts made to it.
    pub fn erase(&mut self, now_hour: u32) -> Vec<u32> {
        let erased = self.bundles.iter().filter(|b| is_over(b.created_hour, now_hour)).map(|b| b.seq).collect();
        self.bundles.retain(|bundle| !is_over(bundle.created_hour, now_hour));
        self.inbox_keys.retain(|key| !is_over(key.named_hour, now_hour));
        erased
    }

    /// The inbox keys alive, at most [`INBOX_KEYS_MAX`].
    pub fn inbox_keys(&self) -> &[InboxKey] {
        &self.inbox_keys
    }

    /// Seq and hour of creation of the newest bundle.
    pub fn newest(&self) -> Option<(u32, u32)> {
        self.bundles.last().map(|bundle| (bundle.seq, bundle.created_hour))
    }

    /// Whether the private halves of bundle `seq` are still there.
    pub fn has_bundle(&self, seq: u32) -> bool {
        self.bundle(seq).is_some()
    }

    /// The newest bundle as an envelope for those who know `addr`, under the tag of the week of `prefix`'s hour.
    /// `None` if there is no bundle. Sealing it again, with another `ephemeral`, repeats the same signed bytes.
    pub fn seal_bundle(&self, prefix: &HeadPrefix, addr: &[u8; 32], ephemeral: &Ephemeral) -> Option<Sealed> {
        let bundle = self.bundles.last()?;
        let tag = bundle_tag(addr, bundle::week_of(prefix.epoch_hour()));
        let mut body = Vec::with_capacity(crate::seal::Class::Small.body_bytes());
        body.extend_from_slice(&bundle.signed);
        body.resize(SMALL_PLAINTEXT_BYTES, 0);
        let key = OneTimeKey::new(&bundle::bundle_key(addr, ephemeral.public_raw()));
        key.seal(&ad0(prefix, &tag, ephemeral.public_raw()), &mut body, 0);
        Some(Sealed { tag, ephemeral: *ephemeral.public_raw(), body })
    }

    pub(crate) fn bundle(&self, seq: u32) -> Option<&OwnBundle> {
        self.bundles.iter().find(|bundle| bundle.seq == seq)
    }

    /// The public inbox key for bundle `seq`: a new one with every fourth bundle, unless two are alive already.
    fn inbox_for(&mut self, seq: u32, now_hour: u32, rng: &mut impl rand_core::CryptoRng) -> [u8; 32] {
        let changes = seq % BUNDLES_PER_INBOX_KEY == 1 && self.inbox_keys.len() < INBOX_KEYS_MAX;
        if changes || self.inbox_keys.is_empty() {
            self.inbox_keys.push(InboxKey { keys: KeyPair::generate(rng), named_hour: now_hour });
        }
        let Some(current) = self.inbox_keys.last_mut() else { return [0; 32] };
        current.named_hour = current.named_hour.max(now_hour);
        *current.keys.public()
    }
}

/// Whether private halves that were last needed for something made at `hour` have served their time.
const fn is_over(hour: u32, now_hour: u32) -> bool {
    hour.saturating_add(KEEP_HOURS) <= now_hour
}

/// A prekey for one guest, handed out in an invite: the first contact that names it needs no further consent, and
/// stays secret even if all other keys leak.
#[derive(Clone, Serialize, Deserialize)]
pub struct OneTimePrekey {
    id: u64,
    keys: KeyPair,
}

impl OneTimePrekey {
    /// A fresh one. Draws 32 bytes for the key, then 8 for the id until they are not zero.
    pub fn generate(rng: &mut impl rand_core::CryptoRng) -> Self {
        let keys = KeyPair::from_secret(Secret::generate(rng));
        loop {
            let id = rng.next_u64();
            if id != 0 {
                return Self { id, keys };
            }
        }
    }

    /// By which a first contact names it; never 0.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// OPK of the invite.
    pub const fn public(&self) -> &[u8; 32] {
        self.keys.public()
    }

    pub(crate) const fn keys(&self) -> &KeyPair {
        &self.keys
    }
}
