//! The description of the API, held against a running node: it has every path and every method that the node has, and
//! none that it has not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::{Home, network};
use crate::http::Api;

#[test]
fn the_description_is_of_this_very_node() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let answer = api.ask("GET /openapi.json", "");
    assert_eq!(answer.status, 200);
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        let described: BTreeSet<String> =
            operations.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        // A method that no path knows is answered by those that this one knows.
        let asked = api.ask(&format!("TRACE {}", example(path)), "");
        let allowed = asked.header("allow").unwrap_or_else(|| panic!("{path}: {asked:?}"));
        let known: BTreeSet<String> =
            allowed.split(',').map(|name| name.trim().to_owned()).filter(|name| name != "HEAD").collect();
        assert_eq!(described, known, "{path}");
    }
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/routes/mod.rs")).unwrap();
    let routes = source.split(".route(").skip(1).map(|route| match route.split(',').next().unwrap().trim() {
        "events::PATH" => "/v1/events".to_owned(),
        "events::SOCKET_PATH" => "/v1/events/ws".to_owned(),
        literal => literal.trim_matches('"').replace("{*name}", "{name}"),
    });
    for route in routes {
        assert!(paths.contains_key(&route), "{route} is not described");
    }
}

/// A path in which every id could be one.
pub(crate) fn example(path: &str) -> String {
    let kinds = BTreeMap::from([
        ("invites", "i_1"),
        ("contacts", "p_1"),
        ("requests", "r_1"),
        ("conversations", "c_1"),
        ("messages", "m_1"),
        ("sessions", "s_1"),
        ("blobs", "b_1"),
    ]);
    let mut parts: Vec<&str> = path.split('/').collect();
    for place in 1..parts.len() {
        match parts[place] {
            "{id}" => parts[place] = kinds[parts[place - 1]],
            "{name}" => parts[place] = "main.js",
            _ => {}
        }
    }
    parts.join("/")
}

#[test]
fn what_the_node_answers_is_what_is_described() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let document: Value = serde_json::from_slice(&api.ask("GET /openapi.json", "").body).unwrap();
    let schemas = &document["components"]["schemas"];
    for (path, name) in [
        ("/v1/status", "Status"),
        ("/v1/doctor", "Doctor"),
        ("/v1/id", "Identity"),
        ("/v1/settings", "Settings"),
        ("/v1/health", "Health"),
    ] {
        let body = api.ask(&format!("GET {path}"), "").json();
        let described: BTreeSet<&String> = schemas[name]["properties"].as_object().unwrap().keys().collect();
        let given: BTreeSet<&String> = body.as_object().unwrap().keys().filter(|key| *key != "v").collect();
        assert_eq!(described, given, "{path}");
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split(r##""$ref":"#/"##).skip(1) {
        let target = format!("/{}", reference.split('"').next().unwrap());
        assert!(document.pointer(&target).is_some(), "{target}");
    }
}
