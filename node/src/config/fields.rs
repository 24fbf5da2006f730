//! Every field of the configuration file, once: its section, key, meaning, unit, default and range.
//!
//! The ranges are checked from this table, the documented file of `starling up --print-config` and
//! `docs/config.md` is printed from it, and tests hold it equal to the structs of [`super::file`].

use std::fmt::Write as _;

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// A whole number, both ends included.
    Integer {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Anything that this sentence describes.
    Described(&'static str),
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Table of the file.
    pub(crate) section: &'static str,
    /// Key in it.
    pub(crate) key: &'static str,
    /// What it does, one line an item.
    pub(crate) doc: &'static [&'static str],
    /// Unit of a number, or nothing.
    pub(crate) unit: &'static str,
    /// Default as TOML.
    pub(crate) default: &'static str,
    /// Allowed values.
    pub(crate) range: Range,
}

impl Field {
    /// `section.key`
    pub(crate) fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// The allowed values in words.
    pub(crate) fn allowed(&self) -> String {
        match self.range {
            Range::Integer { min, max } => format!("{min} to {max}"),
            Range::Flag => "true or false".to_owned(),
            Range::Word(words) => words.join(", "),
            Range::Described(words) => words.to_owned(),
        }
    }
}

const fn integer(min: u64, max: u64) -> Range {
    Range::Integer { min, max }
}

const fn field(
    section: &'static str,
    key: &'static str,
    default: &'static str,
    unit: &'static str,
    range: Range,
    doc: &'static [&'static str],
) -> Field {
    Field { section, key, doc, unit, default, range }
}

const LISTEN: Range = Range::Described("IP:PORT (QUIC and TCP), /ip4/IP/udp/PORT/quic-v1 or /ip4/IP/tcp/PORT; ip6 too");

/// Levels of `log.level`.
pub(crate) const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// All fields in the order of the file.
pub(crate) const FIELDS: &[Field] = &[
    field(
        "api",
        "port",
        "7827",
        "",
        integer(0, 65_535),
        &[
            "Port of the local HTTP API on 127.0.0.1. If it is not set and 7827 is taken, the next free port is used;",
            "if it is set and taken, the node does not start. 0: the system chooses.",
        ],
    ),
    field(
        "network",
        "name",
        "\"main\"",
        "",
        Range::Described("1 to 32 of a-z, 0-9 and '-'"),
        &[
            "Name of the network. 'main' has fixed parameters; the fields below are for private networks only, and all",
            "nodes of a network must agree on them. A private network starts from quick, cheap values for tests.",
        ],
    ),
    field("network", "shard_bits", "0", "bits", integer(0, 27), &["Depth of the shards."]),
    field("network", "effort_base", "1", "", integer(1, 4_096), &["Lowest stamp effort of a small envelope."]),
    field(
        "network",
        "budget_small_bytes",
        "27000000",
        "bytes",
        integer(65_536, 1 << 32),
        &["Budget of small envelopes a topic-hour."],
    ),
    field(
        "network",
        "budget_large_bytes",
        "9000000",
        "bytes",
        integer(65_536, 1 << 32),
        &["Budget of large envelopes a topic-hour."],
    ),
    field("network", "lifetime_hours", "336", "hours", integer(3, 1_440), &["How long an envelope is kept."]),
    field("network", "hop_delay_ms", "0", "ms", integer(0, 60_000), &["Mean delay at a hop of a push."]),
    field(
        "network",
        "receipt_delay_ms",
        "0",
        "ms",
        integer(0, 3_600_000),
        &["Mean delay before a batch of delivery confirmations leaves."],
    ),
    field(
        "network",
        "inbox_batch_min_ms",
        "0",
        "ms",
        integer(0, 60_000),
        &["Least wait before a batch of arrivals is looked at for own mail; at most inbox_batch_max_ms."],
    ),
    field("network", "inbox_batch_max_ms", "0", "ms", integer(0, 60_000), &["Longest wait before it."]),
    field("network", "sync_interval_ms", "250", "ms", integer(50, 3_600_000), &["Time between two small syncs."]),
    field(
        "network",
        "push_timeout_ms",
        "500",
        "ms",
        integer(100, 120_000),
        &["Time after which an unanswered push counts as refused."],
    ),
    field(
        "network",
        "resend_ms",
        "2000",
        "ms",
        integer(500, 3_600_000),
        &["Time after which an envelope that did not come back is pushed again."],
    ),
    field("network", "cover", "\"off\"", "", Range::Word(&["off", "light", "full"]), &["Cover traffic."]),
    field(
        "network",
        "scope",
        "\"loopback\"",
        "",
        Range::Word(&["internet", "lan", "loopback"]),
        &["Addresses that the network spans. On 'main': internet."],
    ),
    field(
        "peers",
        "listen",
        "[]",
        "",
        LISTEN,
        &[
            "Where this node listens for peers. Empty: port 7828 on all addresses (on 127.0.0.1 where the scope is",
            "loopback), and if that is taken a random port, which is kept for later starts. Port 0: the system chooses.",
        ],
    ),
    field(
        "peers",
        "external_addresses",
        "[]",
        "",
        LISTEN,
        &["Addresses at which others reach this node, e.g. of a port that a router forwards. They count as confirmed."],
    ),
    field(
        "peers",
        "seeds",
        "[]",
        "",
        Range::Described("/ip4/IP/udp/PORT/quic-v1/p2p/PEER, or /tcp/PORT/p2p/PEER"),
        &["Nodes to ask first. None is built in."],
    ),
    field(
        "peers",
        "mdns",
        "true",
        "",
        Range::Flag,
        &["Look for peers on the local network. Not set: on, except where the scope is loopback."],
    ),
    field(
        "storage",
        "limit_bytes",
        "6442450944",
        "bytes",
        integer(64 << 20, 1 << 40),
        &["Most that is kept of everybody's sealed messages. Your own history does not count."],
    ),
    field(
        "log",
        "level",
        "\"info\"",
        "",
        Range::Word(LEVELS),
        &[
            "How much goes to starling.log in the data directory. The variable STARLING_LOG overrides it. No level writes",
            "keys, texts, names or addresses.",
        ],
    ),
];

/// The field at `path` (`section.key`).
pub(crate) fn find(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.path() == path)
}

/// The field whose path is nearest to a mistyped one: by the whole path, or, where only the section is wrong,
/// by the key; by the section where nothing else was typed.
pub(crate) fn nearest(path: &str) -> String {
    let distance = |field: &Field| match path.rsplit_once('.') {
        Some((_, key)) => {
            let whole = strsim::damerau_levenshtein(path, &field.path());
            whole.min(strsim::damerau_levenshtein(key, field.key) + 1)
        }
        None => {
            let section = strsim::damerau_levenshtein(path, field.section);
            section.min(strsim::damerau_levenshtein(path, field.key))
        }
    };
    FIELDS.iter().min_by_key(|field| distance(field)).map(Field::path).unwrap_or_default()
}

/// A complete configuration file of comments: every field with its meaning, unit, range and default.
pub(crate) fn documented_file() -> String {
    let mut text =
        "# Configuration of Starling: every field with its default. Unknown fields are refused.\n".to_owned();
    let mut section = "";
    for field in FIELDS {
        if field.section != section {
            section = field.section;
            let _ = write!(text, "\n[{section}]\n");
        } else {
            text.push('\n');
        }
        for line in field.doc {
            let _ = writeln!(text, "# {line}");
        }
        let unit = if field.unit.is_empty() { String::new() } else { format!(" Unit: {}.", field.unit) };
        let _ = writeln!(text, "# Allowed: {}.{unit}", field.allowed());
        let _ = writeln!(text, "# {} = {}", field.key, field.default);
    }
    text
}
