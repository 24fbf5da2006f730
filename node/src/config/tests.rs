//! The table of fields, the structs, the document and the checks agree.

use std::collections::BTreeSet;

use super::*;

fn config(text: &str) -> Result<Config, String> {
    with(text, &Overrides::default())
}

fn with(text: &str, overrides: &Overrides) -> Result<Config, String> {
    let file = parse(Path::new("config.toml"), text).map_err(|error| error.to_string())?;
    Config::resolve(file, overrides).map_err(|error| error.to_string())
}

fn paths_of(value: &serde_json::Value) -> BTreeSet<String> {
    let sections = value.as_object().unwrap();
    let paths = |(section, table): (&String, &serde_json::Value)| {
        table.as_object().unwrap().keys().map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
    };
    sections.iter().flat_map(paths).collect()
}

#[test]
fn the_table_lists_exactly_the_fields_of_the_structs() {
    let structs = paths_of(&serde_json::to_value(ConfigFile::default()).unwrap());
    let table: BTreeSet<String> = fields::FIELDS.iter().map(fields::Field::path).collect();
    assert_eq!(structs, table);
    assert_eq!(table.len(), fields::FIELDS.len());
}

#[test]
fn the_network_section_has_exactly_the_parameters() {
    let section = serde_json::to_value(NetworkSection::default()).unwrap();
    let parameters = serde_json::to_value(NetworkParameters::main()).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(&section), keys(&parameters));
}

#[test]
fn the_documented_file_holds_the_defaults() {
    let document = fields::documented_file();
    assert_eq!(config(&document).unwrap(), config("").unwrap());
    // Without the comment signs every default is accepted, and changes nothing but that it was chosen.
    let is_field =
        |line: &&str| line.starts_with('[') || line.split(" = ").next().is_some_and(|key| !key.contains(' '));
    let uncommented = |name: &str| {
        let lines = document.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
        lines.filter(|line| !line.is_empty()).filter(is_field).collect::<Vec<_>>().join("\n").replace("\"main\"", name)
    };
    let file = parse(Path::new("config.toml"), &uncommented("\"lab\"")).unwrap();
    let set = serde_json::to_value(&file).unwrap();
    assert!(set.as_object().unwrap().values().all(|table| table.as_object().unwrap().values().all(|v| !v.is_null())));
    let all = Config::resolve(file, &Overrides::default()).unwrap();
    assert_eq!(all.network, NetworkParameters::test("lab"));
    let untouched = config("").unwrap();
    assert_eq!(all.storage_limit_bytes, untouched.storage_limit_bytes);
    assert_eq!(all.log_level, untouched.log_level);
    assert_eq!(all.listen, None);
    assert_eq!(all.mdns, untouched.mdns);
    assert_eq!(all.api_port.unwrap().value, API_PORT);
}

#[test]
fn the_page_of_the_docs_is_the_documented_file() {
    let page = include_str!("../../../docs/config.md");
    let block = format!("```toml\n{}```", fields::documented_file());
    assert!(page.contains(&block), "docs/config.md must hold what `starling up --print-config` prints");
}

#[test]
fn every_range_of_the_network_is_that_of_the_parameters() {
    for field in fields::FIELDS.iter().filter(|field| field.section == "network") {
        let Range::Integer { min, max } = field.range else { continue };
        let file = |value: u64| config(&format!("[network]\nname = \"lab\"\n{} = {value}", field.key));
        // The two ends of the inbox batch bound each other; the other one is given along.
        let fine = |value: u64| match field.key {
            "inbox_batch_min_ms" => {
                config(&format!("[network]\nname = \"lab\"\ninbox_batch_min_ms = {value}\ninbox_batch_max_ms = 60000"))
            }
            _ => file(value),
        };
        assert!(fine(min).is_ok() && fine(max).is_ok(), "{}", field.key);
        assert!(file(max + 1).unwrap_err().contains(field.key), "{}", field.key);
        assert!(min == 0 || file(min - 1).unwrap_err().contains(field.key), "{}", field.key);
        // The parameters themselves allow no more than the table.
        let mut values = serde_json::to_value(NetworkParameters::test("lab")).unwrap();
        values[field.key] = (max + 1).into();
        let beyond: Result<NetworkParameters, _> = serde_json::from_value(values);
        assert!(beyond.is_err() || beyond.unwrap().validate().is_err(), "{}", field.key);
    }
}

#[test]
fn unknown_fields_are_refused_with_the_nearest_known_one() {
    for (text, unknown, nearest) in [
        ("[api]\nprot = 1", "api.prot", "api.port"),
        ("[apy]\nport = 1", "apy", "api.port"),
        ("[peers]\nlimit_bytes = 1", "peers.limit_bytes", "storage.limit_bytes"),
        ("[network]\nname = \"lab\"\nhop_delay = 1", "network.hop_delay", "network.hop_delay_ms"),
    ] {
        let error = config(text).unwrap_err();
        assert!(error.contains(&format!("unknown field '{unknown}', the nearest known one is '{nearest}'")), "{error}");
    }
    let both = config("[api]\nprot = 1\n[log]\nlevle = \"info\"").unwrap_err();
    assert!(both.contains("api.prot") && both.contains("log.levle"), "{both}");
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    for (text, words) in [
        ("[api]\nport = 65536", "api.port must be 0 to 65535; it is 65536"),
        ("[api]\nport = -1", "api.port must be 0 to 65535; it is -1"),
        ("[storage]\nlimit_bytes = 5", "storage.limit_bytes must be 67108864 to 1099511627776; it is 5"),
        ("[log]\nlevel = \"loud\"", "log.level must be off, error, warn, info, debug, trace; it is 'loud'"),
        ("[peers]\nlisten = [\"example.org:1\"]", "it is 'example.org:1'"),
        ("[peers]\nexternal_addresses = [\"0.0.0.0:7828\"]", "peers.external_addresses must be"),
        ("[peers]\nseeds = [\"/ip4/127.0.0.1/tcp/1\"]", "peers.seeds must be"),
        ("[network]\nname = \"Lab 7\"", "network.name must be 1 to 32 of a-z, 0-9 and '-'; it is 'Lab 7'"),
        ("[network]\nhop_delay_ms = 0", "network.hop_delay_ms cannot be set on network 'main'"),
        ("[network]\nname = \"lab\"\nscope = \"moon\"", "network.scope must be internet, lan, loopback; it is 'moon'"),
        ("[network]\nname = \"lab\"\ninbox_batch_min_ms = 7", "network.inbox_batch_min_ms must be at most"),
    ] {
        let error = config(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
    assert!(config("[api]\nport = \"7827\"").unwrap_err().contains("line 2"));
    assert!(config("[api").unwrap_err().contains("config.toml"));
}

#[test]
fn flags_stand_above_the_file() {
    let overrides = Overrides {
        api_port: Some(0),
        listen: vec!["127.0.0.1:0".to_owned()],
        network: Some("lab".to_owned()),
        no_mdns: true,
    };
    let all = with("[api]\nport = 9\n[peers]\nlisten = [\"10.0.0.1:9\"]\nmdns = true", &overrides).unwrap();
    assert_eq!(all.api_port, Some(Chosen { value: 0, by: "--api-port" }));
    assert_eq!(all.listen.unwrap().value.len(), 2);
    assert_eq!(all.network, NetworkParameters::test("lab"));
    assert!(!all.mdns);

    let parameters = "[network]\nname = \"den\"\nhop_delay_ms = 5";
    assert!(with(parameters, &overrides).unwrap_err().contains("change one of them"));
    assert_eq!(config(parameters).unwrap().network.hop_delay_ms, 5);
    assert!(!config(parameters).unwrap().mdns, "nothing to find on loopback");
}

#[test]
fn an_absent_file_is_fine_only_where_none_was_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Config::load(folder.path(), None, &Overrides::default()).is_ok());
    let named = folder.path().join("mine.toml");
    let error = Config::load(folder.path(), Some(&named), &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("mine.toml") && error.contains("cannot be read"), "{error}");
    std::fs::write(&named, "#".repeat(1024 * 1024 + 1)).unwrap();
    let error = Config::load(folder.path(), Some(&named), &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("larger than 1 MiB"), "{error}");
}
