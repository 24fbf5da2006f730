//! A trace as JSON. Byte strings are lower-case hex.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

pub(crate) const FORMAT: &str = "starling e2ee trace";
pub(crate) const VERSION: u32 = 1;

/// What does not come out as a trace says, or is no trace.
#[derive(Debug)]
pub(crate) struct Mismatch(pub(crate) String);

pub(crate) fn mismatch<T>(reason: impl Into<String>) -> Result<T, Mismatch> {
    Err(Mismatch(reason.into()))
}

/// Bytes in hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Hex {
    pub(crate) fn array<const N: usize>(&self) -> Result<[u8; N], Mismatch> {
        self.0.as_slice().try_into().map_err(|_| Mismatch(format!("{} bytes where {N} belong", self.0.len())))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HEXLOWER.decode(text.as_bytes()).map(Self).map_err(de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) format: String,
    pub(crate) version: u32,
    pub(crate) made_by: String,
    pub(crate) comment: String,
    pub(crate) post_quantum: bool,
    pub(crate) network: Hex,
    pub(crate) parties: Vec<PartyInput>,
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PartyInput {
    pub(crate) name: String,
    pub(crate) identity: IdentityInput,
    pub(crate) addr: Hex,
    pub(crate) one_time: Vec<OneTimeInput>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct IdentityInput {
    pub(crate) account_seed: Hex,
    pub(crate) signing_seed: Hex,
    pub(crate) agreement_secret: Hex,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OneTimeInput {
    pub(crate) id: Hex,
    pub(crate) secret: Hex,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PrekeysInput {
    pub(crate) seq: u32,
    pub(crate) created_hour: u32,
    pub(crate) shard: u32,
    pub(crate) signed_prekey_secret: Hex,
    pub(crate) inbox_secret: Hex,
    pub(crate) kem_seed: Hex,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct EphemeralInput {
    pub(crate) secret: Hex,
    pub(crate) top_bit: u8,
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct EnvelopeOutput {
    pub(crate) prefix: Hex,
    pub(crate) tag: Hex,
    pub(crate) ephemeral: Hex,
    pub(crate) body: Hex,
}

/// A byte of prefix, tag, E and body that is changed on the way: offset and mask.
pub(crate) type Flip = (usize, u8);

/// An envelope that the trace has sealed, by its event; or one from elsewhere, which nobody here could seal.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Delivered {
    Sealed(usize),
    Foreign(EnvelopeOutput),
}

/// One event: what is done, and what comes of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Event {
    #[serde(flatten)]
    pub(crate) operation: Operation,
    pub(crate) expect: Value,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) by: String,
    pub(crate) now_s: u64,
    pub(crate) session: Hex,
    pub(crate) first: bool,
    pub(crate) prefix: Hex,
    pub(crate) ephemeral: EphemeralInput,
    pub(crate) ratchet_secret: Option<Hex>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kem_seed: Option<Hex>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kem_randomness: Option<Hex>,
    pub(crate) records: Hex,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Operation {
    Bundle {
        by: String,
        now_s: u64,
        prekeys: PrekeysInput,
        prefix: Hex,
        ephemeral: EphemeralInput,
    },
    ReadBundle {
        by: String,
        now_s: u64,
        bundle: usize,
    },
    Begin {
        by: String,
        to: String,
        now_s: u64,
        generation: u32,
        one_time: Option<Hex>,
        ephemeral_secret: Hex,
        kem_randomness: Hex,
    },
    Seal(Seal),
    Deliver {
        by: String,
        now_s: u64,
        envelope: Delivered,
        flip: Option<Flip>,
    },
    Lost {
        envelope: usize,
    },
    Acknowledged {
        by: String,
        session: Hex,
        chain: u32,
        number: u32,
    },
    Full {
        by: String,
        session: Hex,
    },
    Choose {
        by: String,
        to: String,
    },
    State {
        by: String,
        now_s: u64,
    },
}

impl Operation {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Bundle { .. } => "bundle",
            Self::ReadBundle { .. } => "read_bundle",
            Self::Begin { .. } => "begin",
            Self::Seal(_) => "seal",
            Self::Deliver { .. } => "deliver",
            Self::Lost { .. } => "lost",
            Self::Acknowledged { .. } => "acknowledged",
            Self::Full { .. } => "full",
            Self::Choose { .. } => "choose",
            Self::State { .. } => "state",
        }
    }

    /// Whose clock moves, and to where.
    pub(crate) fn moment(&self) -> Option<(&str, u64)> {
        match self {
            Self::Bundle { by, now_s, .. }
            | Self::ReadBundle { by, now_s, .. }
            | Self::Begin { by, now_s, .. }
            | Self::Seal(Seal { by, now_s, .. })
            | Self::Deliver { by, now_s, .. }
            | Self::State { by, now_s } => Some((by, *now_s)),
            Self::Lost { .. } | Self::Acknowledged { .. } | Self::Full { .. } | Self::Choose { .. } => None,
        }
    }
}

/// Where two results part.
pub(crate) fn difference(got: &Value, expected: &Value, path: &str) -> String {
    if let (Value::Object(got), Value::Object(expected)) = (got, expected) {
        for field in got.keys().chain(expected.keys()) {
            let (got, expected) = (got.get(field), expected.get(field));
            if got != expected {
                let null = Value::Null;
                return difference(got.unwrap_or(&null), expected.unwrap_or(&null), field);
            }
        }
    }
    let short = |value: &Value| value.to_string().chars().take(100).collect::<String>();
    format!("{path}: got {}, expected {}", short(got), short(expected))
}
