//! A network: a name and the parameters that all of its nodes share. SPEC: B0, "Network parameters".
//!
//! The name is in every protocol id, topic and stamp, so that two networks never mix. `main` has
//! fixed parameters; any other network may set its own. The hash of the parameters travels in the
//! link hello, and a difference closes the link.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::envelope::{Class, Epoch, TopicId};
use crate::limits::{EFFORT_LARGE_FACTOR, EFFORT_STEPS, SHARD_BITS_MAX};

/// Name of the public network.
pub const MAIN: &str = "main";
/// Bytes of a network name.
pub const NETWORK_NAME_BYTES_MAX: usize = 32;

/// The labels of keyed and salted hashes: `L("x")` is `starling/1 x` and a zero byte, so that no label is
/// a prefix of another. SPEC: B0.
pub fn label(name: &str) -> Vec<u8> {
    let mut bytes = b"starling/1 ".to_vec();
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    bytes
}

/// Which addresses a network spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Public addresses, and the local network.
    Internet = 0,
    /// The local network only.
    Lan = 1,
    /// This machine only.
    Loopback = 2,
}

/// Whether nodes hide their pushes in cover traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cover {
    /// None: test networks only.
    Off = 0,
    /// One cell per 20 s.
    Light = 1,
    /// One cell per 5 s.
    Full = 2,
}

/// What all nodes of a network agree on. Times in ms, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkParameters {
    /// Network name: 1 to 32 of `a-z`, `0-9`, `-`.
    pub name: String,
    /// Depth of the shards, 0 to 27.
    pub shard_bits: u8,
    /// Lowest stamp effort of a small envelope.
    pub effort_base: u32,
    /// Budget of small envelopes a topic-hour, in bytes.
    pub budget_small_bytes: u64,
    /// Budget of large envelopes a topic-hour, in bytes.
    pub budget_large_bytes: u64,
    /// Hours that an envelope is kept.
    pub lifetime_hours: u32,
    /// Mean delay at a hop of a push.
    pub hop_delay_ms: u32,
    /// Mean delay before a batch of acknowledgements leaves.
    pub receipt_delay_ms: u32,
    /// Least wait before a batch of arrivals is looked at for own mail.
    pub inbox_batch_min_ms: u32,
    /// Longest wait before it.
    pub inbox_batch_max_ms: u32,
    /// Time between two small syncs.
    pub sync_interval_ms: u32,
    /// Time after which an unanswered push counts as refused.
    pub push_timeout_ms: u32,
    /// Time after which an envelope that did not come back is pushed again.
    pub resend_ms: u32,
    /// Cover traffic.
    pub cover: Cover,
    /// Addresses that the network spans.
    pub scope: Scope,
}

/// Why parameters are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParametersError {
    /// The name is empty, too long or has other characters than `a-z`, `0-9`, `-`.
    #[error("a network name is 1 to 32 of a-z, 0-9 and '-'")]
    Name,
    /// `main` has fixed parameters.
    #[error("the parameters of network 'main' cannot be changed")]
    MainIsFixed,
    /// A value outside its range.
    #[error("{field} must be {range}")]
    Range {
        /// Field.
        field: &'static str,
        /// What it may be.
        range: &'static str,
    },
}

impl NetworkParameters {
    /// The parameters of `main`.
    pub fn main() -> Self {
        Self {
            name: MAIN.to_owned(),
            shard_bits: 0,
            effort_base: 64,
            budget_small_bytes: 27_000_000,
            budget_large_bytes: 9_000_000,
            lifetime_hours: 336,
            hop_delay_ms: 400,
            receipt_delay_ms: 20_000,
            inbox_batch_min_ms: 100,
            inbox_batch_max_ms: 300,
            sync_interval_ms: 30_000,
            push_timeout_ms: 5_000,
            resend_ms: 600_000,
            cover: Cover::Full,
            scope: Scope::Internet,
        }
    }

    /// The defaults of a private network called `name`: quick, cheap, on loopback.
    pub fn test(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            effort_base: 1,
            hop_delay_ms: 0,
            receipt_delay_ms: 0,
            inbox_batch_min_ms: 0,
            inbox_batch_max_ms: 0,
            sync_interval_ms: 250,
            push_timeout_ms: 500,
            resend_ms: 2_000,
            cover: Cover::Off,
            scope: Scope::Loopback,
            ..Self::main()
        }
    }

    /// Checks every field once.
    ///
    /// # Errors
    /// [`ParametersError`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParametersError> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || self.name.len() > NETWORK_NAME_BYTES_MAX || !self.name.bytes().all(good) {
            return Err(ParametersError::Name);
        }
        if self.name == MAIN {
            return if *self == Self::main() { Ok(()) } else { Err(ParametersError::MainIsFixed) };
        }
        let checks = [
            (self.shard_bits <= SHARD_BITS_MAX, "shard_bits", "0 to 27"),
            ((1..=4_096).contains(&self.effort_base), "effort_base", "1 to 4096"),
            ((65_536..=1 << 32).contains(&self.budget_small_bytes), "budget_small_bytes", "64 KiB to 4 GiB"),
            ((65_536..=1 << 32).contains(&self.budget_large_bytes), "budget_large_bytes", "64 KiB to 4 GiB"),
            ((3..=1_440).contains(&self.lifetime_hours), "lifetime_hours", "3 to 1440"),
            (self.hop_delay_ms <= 60_000, "hop_delay_ms", "0 to 60000"),
            (self.receipt_delay_ms <= 3_600_000, "receipt_delay_ms", "0 to 3600000"),
            (self.inbox_batch_min_ms <= self.inbox_batch_max_ms, "inbox_batch_min_ms", "at most inbox_batch_max_ms"),
            (self.inbox_batch_max_ms <= 60_000, "inbox_batch_max_ms", "0 to 60000"),
            ((50..=3_600_000).contains(&self.sync_interval_ms), "sync_interval_ms", "50 to 3600000"),
            ((100..=120_000).contains(&self.push_timeout_ms), "push_timeout_ms", "100 to 120000"),
            ((500..=3_600_000).contains(&self.resend_ms), "resend_ms", "500 to 3600000"),
        ];
        match checks.into_iter().find(|(fine, ..)| !fine) {
            Some((_, field, range)) => Err(ParametersError::Range { field, range }),
            None => Ok(()),
        }
    }

    /// BLAKE3-256 of the canonical bytes: `name length 1 | name`, then every number little-endian in the
    /// order of the fields (`shard_bits` 1 byte, budgets 8, all others 4), cover 1 (off, light, full: 0, 1, 2),
    /// scope 1 (internet, lan, loopback: 0, 1, 2).
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[u8::try_from(self.name.len()).unwrap_or(u8::MAX)]);
        hasher.update(self.name.as_bytes());
        hasher.update(&[self.shard_bits]);
        hasher.update(&self.effort_base.to_le_bytes());
        hasher.update(&self.budget_small_bytes.to_le_bytes());
        hasher.update(&self.budget_large_bytes.to_le_bytes());
        for number in [
            self.lifetime_hours,
            self.hop_delay_ms,
            self.receipt_delay_ms,
            self.inbox_batch_min_ms,
            self.inbox_batch_max_ms,
            self.sync_interval_ms,
            self.push_timeout_ms,
            self.resend_ms,
        ] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&[self.cover as u8, self.scope as u8]);
        *hasher.finalize().as_bytes()
    }

    /// NET: BLAKE3-256 of the network name.
    pub fn id(&self) -> NetworkId {
        NetworkId(*blake3::hash(self.name.as_bytes()).as_bytes())
    }

    /// The gossipsub topic of a shard topic: `/starling/{network}/t1/{topic as 8 hex digits}`.
    pub fn gossip_topic(&self, topic: TopicId) -> String {
        format!("/starling/{}/t1/{:08x}", self.name, topic.0)
    }

    /// A libp2p protocol id of this network, for `kad/1`, `link/1`, `sync/1`, `push/1`.
    pub fn protocol(&self, name: &str) -> String {
        format!("/starling/{}/{name}", self.name)
    }

    /// Budget of a class, bytes a topic-hour.
    pub fn budget_bytes(&self, class: Class) -> u64 {
        match class {
            Class::Small => self.budget_small_bytes,
            Class::Large => self.budget_large_bytes,
        }
    }

    /// The efforts that a stamp of this class may claim, lowest first. SPEC: B2.
    pub fn efforts(&self, class: Class) -> [u32; 4] {
        let factor = match class {
            Class::Small => 1,
            Class::Large => EFFORT_LARGE_FACTOR,
        };
        EFFORT_STEPS.map(|step| self.effort_base.saturating_mul(step).saturating_mul(factor))
    }
}

/// BLAKE3-256 of a network name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkId(pub [u8; 32]);

/// The DHT key `index` (0 to 7) of a topic on a UTC day: a SHA2-256-shaped multihash of
/// `BLAKE3-256(L("provider") || NET || topic 4 || day 4 || index 1)`. SPEC: B1.
pub fn provider_key(network: &NetworkId, topic: TopicId, day: u32, index: u8) -> [u8; 34] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&label("provider"));
    hasher.update(&network.0);
    hasher.update(&topic.0.to_le_bytes());
    hasher.update(&day.to_le_bytes());
    hasher.update(&[index]);
    let mut key = [0; 34];
    for (slot, byte) in key.iter_mut().zip([0x12, 0x20].iter().chain(hasher.finalize().as_bytes())) {
        *slot = *byte;
    }
    key
}

/// The UTC day of an epoch, since 1970.
pub fn day_of(epoch: Epoch) -> u32 {
    epoch.0 / 24
}
