//! Every call of the description, asked in every wrong way: by strangers, with bodies of the wrong shape, with each field
//! of the wrong type, unknown, too large. The table is the description itself, so that no call is left out.

use serde_json::{Map, Value, json};

use crate::harness::{Home, network};
use crate::http::{Answer, Api};

struct Call {
    line: String,
    open: bool,
    /// Schema of the body, if it is JSON.
    body: Option<Value>,
}

/// All calls, with an id in each path that could be one.
fn calls(document: &Value) -> Vec<Call> {
    let mut calls = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"]["schema"];
            calls.push(Call {
                line: format!("{} {}", method.to_uppercase(), crate::openapi::example(path)),
                open: operation["security"].is_array(),
                body: content.is_object().then(|| resolve(document, content)),
            });
        }
    }
    calls
}

fn resolve(document: &Value, schema: &Value) -> Value {
    match schema["$ref"].as_str() {
        Some(path) => document.pointer(path.trim_start_matches('#')).unwrap().clone(),
        None => schema.clone(),
    }
}

/// Whether a value of the JSON type `kind` is allowed by `schema`, or that cannot be said.
fn allows(document: &Value, schema: &Value, kind: &str) -> bool {
    let schema = resolve(document, schema);
    let any_of = ["anyOf", "oneOf"].iter().find_map(|name| schema[name].as_array());
    if let Some(choices) = any_of {
        return choices.iter().any(|choice| allows(document, choice, kind));
    }
    match &schema["type"] {
        Value::String(named) => named == kind || (kind == "number" && named == "integer"),
        Value::Array(named) => named.iter().any(|named| named == kind || (kind == "number" && named == "integer")),
        _ => kind == "string" && (schema["const"].is_string() || schema["enum"].is_array()),
    }
}

fn is_refused(answer: &Answer) -> bool {
    (400..500).contains(&answer.status)
}

/// Asks with a body that cannot be right.
fn refuses(api: &Api, line: &str, body: &str) {
    let answer = api.ask(line, body);
    assert!(is_refused(&answer), "{line} {body}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    let (status, code) = answer.code();
    // An id that names nothing may be found out first.
    let expected = status == 400 && code == "bad_request" || status == 404 && line.contains("_1");
    assert!(expected || ["bad_code", "not_locked"].contains(&code.as_str()), "{line} {body}: {status} {code}");
}

#[test]
fn no_call_answers_a_stranger_or_another_site() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let document: Value = serde_json::from_slice(&api.ask("GET /openapi.json", "").body).unwrap();
    let bearer = format!("Bearer {}", api.token);
    let (host, token) = (("Host", api.address.as_str()), ("Authorization", bearer.as_str()));
    let json = ("Content-Type", "application/json");
    for Call { line, open, .. } in calls(&document) {
        let refused = |headers: &[(&str, &str)], status: u16, code: &str| {
            let answer = api.bare(&line, headers, b"");
            assert_eq!(answer.code(), (status, code.to_owned()), "{line} {headers:?}");
            assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
        };
        for foreign in ["example.org", "127.0.0.1.example.org", "0.0.0.0"] {
            refused(&[("Host", foreign), token, json], 403, "bad_origin");
        }
        for foreign in ["https://example.org", "null", "http://127.0.0.1:1"] {
            refused(&[host, token, json, ("Origin", foreign)], 403, "bad_origin");
        }
        if !open {
            refused(&[host, json], 401, "no_token");
            refused(&[host, json, ("Authorization", "Bearer 00")], 401, "no_token");
            refused(&[host, json, ("Authorization", &bearer), ("Authorization", &bearer)], 401, "no_token");
        }
    }
}

#[test]
fn no_call_takes_a_body_of_the_wrong_shape() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let document: Value = serde_json::from_slice(&api.ask("GET /openapi.json", "").body).unwrap();
    let before = api.ask("GET /v1/status", "").json()["outbox"].clone();
    let mut tried = 0;
    for Call { line, body, .. } in calls(&document) {
        let Some(schema) = body else { continue };
        for wrong in ["", "{", "[]", "[null,null]", "null", "7", "\"x\"", "{\"a\":", "{}{}", "\u{0}"] {
            refuses(&api, &line, wrong);
        }
        refuses(&api, &line, &format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)));
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        let mut unknown = Map::new();
        unknown.insert("colour".to_owned(), json!("red"));
        refuses(&api, &line, &Value::Object(unknown).to_string());
        for (name, property) in properties {
            let values = [
                ("boolean", json!(true)),
                ("number", json!(7)),
                ("number", json!(-1e300)),
                ("string", json!("\u{0}\u{202e}x")),
                ("array", json!([[[]]])),
                ("object", json!({ "a": { "b": [] } })),
            ];
            for (kind, value) in values {
                if !allows(&document, &property, kind) {
                    let body = Value::Object(Map::from_iter([(name.clone(), value)])).to_string();
                    refuses(&api, &line, &body);
                    tried += 1;
                }
            }
        }
        let large = format!("{{\"colour\":\"{}\"}}", "x".repeat(600_000));
        assert_eq!(api.ask(&line, &large).status, 413, "{line}");
    }
    assert!(tried > 100, "only {tried} wrong fields were tried");
    // The node is as it was.
    assert_eq!(api.ask("GET /v1/status", "").json()["outbox"], before);
    assert_eq!(api.ask("GET /v1/invites", "").json()["invites"], json!([]));
    assert_eq!(api.ask("GET /v1/contacts", "").json()["contacts"], json!([]));
}
