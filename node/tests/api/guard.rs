//! Who may ask.

use std::os::unix::fs::PermissionsExt as _;

use starling_api::node::NodeState;
use starling_api::{ApiFile, Client, ClientError, Code, Passphrase};

use crate::harness::{Home, network};
use crate::http::{Api, client};

#[test]
fn only_programs_of_this_machine_with_the_token_are_answered() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let mode = std::fs::metadata(ApiFile::path(&home.data())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let host = ("Host", api.address.as_str());
    let bearer = format!("Bearer {}", api.token);
    let token = ("Authorization", bearer.as_str());
    let ask = |headers: &[(&str, &str)]| api.bare("GET /v1/status", headers, b"");
    assert_eq!(ask(&[host, token]).status, 200);

    for wrong in ["Bearer", "Bearer 00", "Basic 00", &format!("Bearer {}0", api.token), &api.token] {
        assert_eq!(ask(&[host, ("Authorization", wrong)]).code(), (401, "no_token".to_owned()), "{wrong}");
    }
    assert_eq!(ask(&[host]).code(), (401, "no_token".to_owned()));
    assert_eq!(api.bare("GET /v1/status", &[host], b"").code(), (401, "no_token".to_owned()));
    assert_eq!(api.bare("GET /nothing", &[host], b"").code(), (401, "no_token".to_owned()));

    // A name that its owner points at 127.0.0.1 is no way in.
    for foreign in ["example.org", "192.0.2.1:80", "127.0.0.1.example.org"] {
        assert_eq!(ask(&[("Host", foreign), token]).code(), (403, "bad_origin".to_owned()), "{foreign}");
    }
    for name in ["localhost", "localhost:9999", "[::1]:1", "127.0.0.1"] {
        assert_eq!(ask(&[("Host", name), token]).status, 200, "{name}");
    }
    let own = format!("http://{}", api.address);
    assert_eq!(ask(&[host, token, ("Origin", &own)]).status, 200);
    for foreign in ["null", "https://example.org", "http://localhost:1", "http://127.0.0.1"] {
        let answer = ask(&[host, token, ("Origin", foreign)]);
        assert_eq!(answer.code(), (403, "bad_origin".to_owned()), "{foreign}");
        assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
    }
}

#[test]
fn health_alone_needs_no_token() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let answer = api.bare("GET /v1/health", &[("Host", "localhost")], b"");
    assert_eq!(answer.status, 200);
    let state = answer.json()["state"].clone();
    assert_eq!(answer.body, format!(r#"{{"v":1,"state":{state}}}"#).into_bytes());
    let stranger = Client::new(client(&home).url(), None);
    stranger.health().unwrap();
    assert!(matches!(stranger.status(), Err(ClientError::Api(error)) if error.code == Code::NoToken));
}

#[test]
fn the_client_goes_by_no_proxy() {
    let home = Home::new();
    let _node = home.start(&network());
    let mut command = home.command(&["status", "--json"]);
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        // Nobody listens there.
        command.env(variable, "http://127.0.0.1:1");
    }
    let output = command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_locked_node_answers_and_opens_with_its_passphrase() {
    let home = Home::new();
    let name = network();
    let node = home.start(&name);
    let new = Some(Passphrase::new("correct horse".to_owned()));
    client(&home).change_passphrase(&starling_api::node::ChangePassphrase { old: None, new }).unwrap();
    node.kill();

    let _node = home.start(&name);
    let (client, api) = (client(&home), Api::of(&home));
    assert_eq!(client.health().unwrap().state, NodeState::Locked);
    let status = client.status().unwrap();
    assert_eq!((status.state, status.peers, status.outbox, status.store), (NodeState::Locked, None, None, None));
    for line in [
        "GET /v1/contacts",
        "GET /v1/peers",
        "GET /v1/id",
        "GET /v1/events",
        "GET /v1/messages/m_1",
        "GET /v1/settings",
    ] {
        let answer = api.ask(line, "");
        assert_eq!(answer.code(), (409, "locked".to_owned()), "{line}");
        assert_eq!(answer.json()["error"]["hint"], "starling unlock");
    }
    assert_eq!(api.ask("POST /v1/invites", "{}").code(), (409, "locked".to_owned()));

    let wrong = api.ask("POST /v1/unlock", r#"{"passphrase":"battery staple"}"#);
    assert_eq!(wrong.code(), (403, "wrong_passphrase".to_owned()));
    let error = &wrong.json()["error"];
    assert_eq!(error["message"], "That passphrase does not open this vault.");
    assert_eq!(error["details"]["retry_after_ms"], 0);
    assert_eq!(api.ask("POST /v1/unlock", r#"{"passphrase":"correct horse"}"#).status, 204);
    let end = std::time::Instant::now() + crate::harness::DEADLINE;
    while matches!(client.health().unwrap().state, NodeState::Locked | NodeState::Starting) {
        assert!(std::time::Instant::now() < end, "the vault does not open");
        std::thread::yield_now();
    }
    assert!(client.contacts().unwrap().contacts.is_empty());
    assert_eq!(api.ask("POST /v1/unlock", r#"{"passphrase":"correct horse"}"#).code().0, 409);
}
