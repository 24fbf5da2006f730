//! The configuration file as TOML, field by field as [`super::fields`] lists them. A field that is absent here was
//! not set: whether a port was chosen by its owner decides what happens when it is taken.

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigFile {
    pub(crate) api: ApiSection,
    pub(crate) network: NetworkSection,
    pub(crate) peers: PeersSection,
    pub(crate) storage: StorageSection,
    pub(crate) log: LogSection,
}

/// `[api]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ApiSection {
    pub(crate) port: Option<i64>,
}

/// `[network]`: the fields of `NetworkParameters`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkSection {
    pub(crate) name: Option<String>,
    pub(crate) shard_bits: Option<i64>,
    pub(crate) effort_base: Option<i64>,
    pub(crate) budget_small_bytes: Option<i64>,
    pub(crate) budget_large_bytes: Option<i64>,
    pub(crate) lifetime_hours: Option<i64>,
    pub(crate) hop_delay_ms: Option<i64>,
    pub(crate) receipt_delay_ms: Option<i64>,
    pub(crate) inbox_batch_min_ms: Option<i64>,
    pub(crate) inbox_batch_max_ms: Option<i64>,
    pub(crate) sync_interval_ms: Option<i64>,
    pub(crate) push_timeout_ms: Option<i64>,
    pub(crate) resend_ms: Option<i64>,
    pub(crate) cover: Option<String>,
    pub(crate) scope: Option<String>,
}

/// `[peers]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PeersSection {
    pub(crate) listen: Option<Vec<String>>,
    pub(crate) external_addresses: Option<Vec<String>>,
    pub(crate) seeds: Option<Vec<String>>,
    pub(crate) mdns: Option<bool>,
}

/// `[storage]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StorageSection {
    pub(crate) limit_bytes: Option<i64>,
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogSection {
    pub(crate) level: Option<String>,
}
