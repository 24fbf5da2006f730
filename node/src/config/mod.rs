//! Configuration: one optional TOML file (`config.toml` in the data directory, or `--config FILE`), the flags of
//! `starling up` above it, defaults below it. Every field is checked once, here; an unknown one is refused with the
//! nearest known one. SPEC: the design's section 7.

mod address;
pub(crate) mod fields;
mod file;

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use starling_wire::network::{Cover, MAIN, NetworkParameters, ParametersError, Scope};
use thiserror::Error;

pub(crate) use address::{PeerAddress, Transport};
use fields::Range;
use file::{ConfigFile, NetworkSection};

/// Name of the file in the data directory.
pub(crate) const FILE_NAME: &str = "config.toml";
/// Bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Addresses in one list.
const ADDRESSES_MAX: usize = 64;
/// Port of the local API, where none is chosen.
pub(crate) const API_PORT: u16 = 7827;
/// Port for peers, where none is chosen.
pub(crate) const PEER_PORT: u16 = 7828;

/// What the node runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Port of the local API if its owner chose one, and where that was said.
    pub(crate) api_port: Option<Chosen<u16>>,
    /// The network.
    pub(crate) network: NetworkParameters,
    /// Where to listen for peers if the owner chose, and where that was said.
    pub(crate) listen: Option<Chosen<Vec<PeerAddress>>>,
    /// Addresses that count as confirmed.
    pub(crate) external_addresses: Vec<PeerAddress>,
    /// Nodes to ask first: multiaddrs with `/p2p/`.
    pub(crate) seeds: Vec<String>,
    /// Whether to look on the local network.
    pub(crate) mdns: bool,
    /// Bytes of everybody's envelopes.
    pub(crate) storage_limit_bytes: u64,
    /// One of [`fields::LEVELS`].
    pub(crate) log_level: String,
}

/// A value that the owner chose, with the field or flag that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen<T> {
    /// The value.
    pub(crate) value: T,
    /// `api.port` or `--api-port`.
    pub(crate) by: &'static str,
}

/// Flags that stand above the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// `--api-port`
    pub(crate) api_port: Option<u16>,
    /// `--listen`
    pub(crate) listen: Vec<String>,
    /// `--network`
    pub(crate) network: Option<String>,
    /// `--no-mdns`
    pub(crate) no_mdns: bool,
}

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large to be one.
    #[error("{} is larger than 1 MiB: that is no configuration file", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not TOML, or a field has the wrong type.
    #[error("{}: {message}", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        message: String,
    },
    /// It has fields that nobody reads.
    #[error("{}: {}", .path.display(), .unknown.iter().map(|key| format!("unknown field '{key}', the nearest known one is '{}'", fields::nearest(key))).collect::<Vec<_>>().join("\n"))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Their paths.
        unknown: Vec<String>,
    },
    /// A field's value is not allowed.
    #[error("{field} must be {allowed}; it is {value}")]
    Value {
        /// Field or flag.
        field: String,
        /// What it may be.
        allowed: String,
        /// What it is.
        value: String,
    },
    /// `main` has fixed parameters.
    #[error(
        "{field} cannot be set on network 'main': its parameters are fixed. Set network.name to a name of your own"
    )]
    MainIsFixed {
        /// The field.
        field: String,
    },
    /// The file's parameters are for one network, and `--network` names another.
    #[error("the file sets parameters of network '{file}', and --network names '{flag}'; change one of them")]
    OtherNetwork {
        /// The file's.
        file: String,
        /// The flag's.
        flag: String,
    },
}

impl Config {
    /// Reads `path` (or, without one, `config.toml` in `data` if it exists), applies `overrides` and checks
    /// everything once.
    ///
    /// # Errors
    /// [`ConfigError`] with the first thing that is wrong; all unknown fields at once.
    pub(crate) fn load(data: &Path, path: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let file = match path {
            Some(path) => read(path)?,
            None => match read(&data.join(FILE_NAME)) {
                // That the data directory is no directory is said where it is made.
                Err(ConfigError::Read { source, .. })
                    if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    ConfigFile::default()
                }
                read => read?,
            },
        };
        Self::resolve(file, overrides)
    }

    fn resolve(file: ConfigFile, overrides: &Overrides) -> Result<Self, ConfigError> {
        let network = network(&file.network, overrides.network.as_deref())?;
        let api_port = match (overrides.api_port, file.api.port) {
            (Some(value), _) => Some(Chosen { value, by: "--api-port" }),
            (None, Some(port)) => Some(Chosen { value: number("api.port", port)?, by: "api.port" }),
            (None, None) => None,
        };
        let listen = if overrides.listen.is_empty() {
            let chosen = addresses("peers.listen", file.peers.listen.as_deref().unwrap_or_default())?;
            (!chosen.is_empty()).then_some(Chosen { value: chosen, by: "peers.listen" })
        } else {
            Some(Chosen { value: addresses("--listen", &overrides.listen)?, by: "--listen" })
        };
        let external = file.peers.external_addresses.unwrap_or_default();
        let level = file.log.level.unwrap_or_else(|| "info".to_owned());
        word("log.level", &level)?;
        Ok(Self {
            mdns: !overrides.no_mdns && file.peers.mdns.unwrap_or(network.scope != Scope::Loopback),
            api_port,
            network,
            listen,
            external_addresses: external_addresses(&external)?,
            seeds: seeds(file.peers.seeds.unwrap_or_default())?,
            storage_limit_bytes: number("storage.limit_bytes", file.storage.limit_bytes.unwrap_or(6 << 30))?,
            log_level: level,
        })
    }
}

fn read(path: &Path) -> Result<ConfigFile, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX.saturating_add(1)).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<ConfigFile, ConfigError> {
    let refused = |error: toml::de::Error| ConfigError::Toml { path: path.to_owned(), message: error.to_string() };
    let mut unknown = Vec::new();
    let deserializer = toml::Deserializer::parse(text).map_err(refused)?;
    let file = serde_ignored::deserialize(deserializer, |key| unknown.push(key.to_string())).map_err(refused)?;
    if unknown.is_empty() { Ok(file) } else { Err(ConfigError::Unknown { path: path.to_owned(), unknown }) }
}

fn refused(field: &str, value: impl ToString) -> ConfigError {
    let path = if field == "--listen" { "peers.listen" } else { field };
    let allowed = fields::find(path).map(fields::Field::allowed).unwrap_or_default();
    ConfigError::Value { field: field.to_owned(), allowed, value: value.to_string() }
}

/// Checks a number against the table of fields, and that it fits its type.
fn number<T: TryFrom<u64>>(field: &str, value: i64) -> Result<T, ConfigError> {
    let fits = match fields::find(field).map(|found| found.range) {
        Some(Range::Integer { min, max }) => u64::try_from(value).ok().filter(|value| (min..=max).contains(value)),
        _ => None,
    };
    fits.and_then(|value| T::try_from(value).ok()).ok_or_else(|| refused(field, value))
}

fn word(field: &str, value: &str) -> Result<(), ConfigError> {
    match fields::find(field).map(|found| found.range) {
        Some(Range::Word(words)) if words.contains(&value) => Ok(()),
        _ => Err(refused(field, format!("'{value}'"))),
    }
}

fn addresses(field: &str, texts: &[String]) -> Result<Vec<PeerAddress>, ConfigError> {
    if texts.len() > ADDRESSES_MAX {
        return Err(ConfigError::Value {
            field: field.to_owned(),
            allowed: format!("at most {ADDRESSES_MAX} addresses"),
            value: texts.len().to_string(),
        });
    }
    let mut all = Vec::new();
    for text in texts {
        all.extend(PeerAddress::parse(text).ok_or_else(|| refused(field, format!("'{text}'")))?);
    }
    Ok(all)
}

/// An address at which others reach this node has a real port and is not "any address".
fn external_addresses(texts: &[String]) -> Result<Vec<PeerAddress>, ConfigError> {
    let all = addresses("peers.external_addresses", texts)?;
    match all.iter().find(|address| address.port == 0 || address.ip.is_unspecified()) {
        Some(address) => Err(refused("peers.external_addresses", format!("'{address}'"))),
        None => Ok(all),
    }
}

fn seeds(texts: Vec<String>) -> Result<Vec<String>, ConfigError> {
    match texts.iter().enumerate().find(|(index, text)| *index >= ADDRESSES_MAX || !address::names_a_node(text)) {
        Some((_, text)) => Err(refused("peers.seeds", format!("'{text}'"))),
        None => Ok(texts),
    }
}

/// The parameters of the network: fixed for `main`, else those of a private network with the file's changes.
fn network(section: &NetworkSection, flag: Option<&str>) -> Result<NetworkParameters, ConfigError> {
    let file_name = section.name.as_deref();
    let name = flag.or(file_name).unwrap_or(MAIN);
    let first_set = first_parameter(section);
    if let (Some(_), Some(file), Some(flag)) = (first_set, file_name, flag)
        && file != flag
    {
        return Err(ConfigError::OtherNetwork { file: file.to_owned(), flag: flag.to_owned() });
    }
    if name == MAIN {
        return match first_set {
            Some(key) => Err(ConfigError::MainIsFixed { field: format!("network.{key}") }),
            None => Ok(NetworkParameters::main()),
        };
    }
    let mut parameters = NetworkParameters::test(name);
    apply(section, &mut parameters)?;
    parameters.validate().map_err(|error| match error {
        ParametersError::Range { field, range } => ConfigError::Value {
            field: format!("network.{field}"),
            allowed: range.to_owned(),
            value: "outside of it".to_owned(),
        },
        ParametersError::Name | ParametersError::MainIsFixed => refused("network.name", format!("'{name}'")),
    })?;
    Ok(parameters)
}

/// The first parameter that is set, the name aside.
fn first_parameter(section: &NetworkSection) -> Option<&'static str> {
    let set = [
        (section.shard_bits.is_some(), "shard_bits"),
        (section.effort_base.is_some(), "effort_base"),
        (section.budget_small_bytes.is_some(), "budget_small_bytes"),
        (section.budget_large_bytes.is_some(), "budget_large_bytes"),
        (section.lifetime_hours.is_some(), "lifetime_hours"),
        (section.hop_delay_ms.is_some(), "hop_delay_ms"),
        (section.receipt_delay_ms.is_some(), "receipt_delay_ms"),
        (section.inbox_batch_min_ms.is_some(), "inbox_batch_min_ms"),
        (section.inbox_batch_max_ms.is_some(), "inbox_batch_max_ms"),
        (section.sync_interval_ms.is_some(), "sync_interval_ms"),
        (section.push_timeout_ms.is_some(), "push_timeout_ms"),
        (section.resend_ms.is_some(), "resend_ms"),
        (section.cover.is_some(), "cover"),
        (section.scope.is_some(), "scope"),
    ];
    set.into_iter().find(|(is_set, _)| *is_set).map(|(_, key)| key)
}

fn apply(section: &NetworkSection, parameters: &mut NetworkParameters) -> Result<(), ConfigError> {
    set("shard_bits", section.shard_bits, &mut parameters.shard_bits)?;
    set("effort_base", section.effort_base, &mut parameters.effort_base)?;
    set("budget_small_bytes", section.budget_small_bytes, &mut parameters.budget_small_bytes)?;
    set("budget_large_bytes", section.budget_large_bytes, &mut parameters.budget_large_bytes)?;
    set("lifetime_hours", section.lifetime_hours, &mut parameters.lifetime_hours)?;
    set("hop_delay_ms", section.hop_delay_ms, &mut parameters.hop_delay_ms)?;
    set("receipt_delay_ms", section.receipt_delay_ms, &mut parameters.receipt_delay_ms)?;
    set("inbox_batch_min_ms", section.inbox_batch_min_ms, &mut parameters.inbox_batch_min_ms)?;
    set("inbox_batch_max_ms", section.inbox_batch_max_ms, &mut parameters.inbox_batch_max_ms)?;
    set("sync_interval_ms", section.sync_interval_ms, &mut parameters.sync_interval_ms)?;
    set("push_timeout_ms", section.push_timeout_ms, &mut parameters.push_timeout_ms)?;
    set("resend_ms", section.resend_ms, &mut parameters.resend_ms)?;
    if let Some(cover) = section.cover.as_deref() {
        parameters.cover = match cover {
            "off" => Cover::Off,
            "light" => Cover::Light,
            "full" => Cover::Full,
            _ => return Err(refused("network.cover", format!("'{cover}'"))),
        };
    }
    if let Some(scope) = section.scope.as_deref() {
        parameters.scope = match scope {
            "internet" => Scope::Internet,
            "lan" => Scope::Lan,
            "loopback" => Scope::Loopback,
            _ => return Err(refused("network.scope", format!("'{scope}'"))),
        };
    }
    Ok(())
}

fn set<T: TryFrom<u64>>(key: &str, value: Option<i64>, target: &mut T) -> Result<(), ConfigError> {
    if let Some(value) = value {
        *target = number(&format!("network.{key}"), value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
