//! What bad requests get: JSON with a code, whatever is wrong.

use std::io::Write as _;
use std::net::TcpStream;

use crate::harness::{Home, network};
use crate::http::{Api, client};

#[test]
fn every_bad_request_gets_its_code() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let table = [
        // Unknown paths and methods.
        ("GET /v1/nothing", "", 404, "no_such_path"),
        ("GET /v1/status/", "", 404, "no_such_path"),
        ("GET /v2/status", "", 404, "no_such_path"),
        ("DELETE /v1/status", "", 405, "bad_method"),
        ("PUT /v1/contacts", "", 405, "bad_method"),
        ("OPTIONS /v1/contacts", "", 405, "bad_method"),
        // Ids that name nothing.
        ("GET /v1/doctor?contact=p_zz", "", 404, "no_such_contact"),
        ("GET /v1/doctor?contact=m_1", "", 400, "bad_request"),
        ("GET /v1/doctor?whom=p_1", "", 400, "bad_request"),
        ("GET /v1/messages/m_zz", "", 404, "no_such_message"),
        ("GET /v1/messages/p_1", "", 404, "no_such_message"),
        ("GET /v1/messages/%ff", "", 404, "no_such_message"),
        ("GET /v1/messages/m_zz/trace", "", 404, "no_such_message"),
        ("GET /v1/contacts/p_zz", "", 404, "no_such_contact"),
        ("GET /v1/contacts/..%2f..%2fetc", "", 404, "no_such_contact"),
        ("DELETE /v1/contacts/p_zz", "", 404, "no_such_contact"),
        ("PATCH /v1/contacts/p_zz", r#"{"name":"Ana"}"#, 404, "no_such_contact"),
        ("GET /v1/conversations/c_zz/messages", "", 404, "no_such_contact"),
        ("POST /v1/conversations/c_zz/messages", r#"{"text":"hi"}"#, 404, "no_such_contact"),
        ("DELETE /v1/invites/i_zz", "", 404, "no_such_invite"),
        ("POST /v1/requests/r_zz", r#"{"accept":true}"#, 404, "no_such_request"),
        // Bodies.
        ("POST /v1/contacts", "", 400, "bad_request"),
        ("POST /v1/contacts", "{", 400, "bad_request"),
        ("POST /v1/contacts", "[]", 400, "bad_request"),
        ("POST /v1/contacts", "{}", 400, "bad_request"),
        ("POST /v1/contacts", r#"{"link":7}"#, 400, "bad_request"),
        ("POST /v1/contacts", r#"{"link":"x","colour":"red"}"#, 400, "bad_request"),
        ("POST /v1/contacts", "{\"link\":\"\u{0}\"}", 400, "bad_request"),
        ("POST /v1/invites", r#"{"expires_s":5}"#, 400, "bad_request"),
        ("POST /v1/invites", r#"{"expires_s":-5}"#, 400, "bad_request"),
        ("POST /v1/invites", r#"{"expires_s":4294967296}"#, 400, "bad_request"),
        ("POST /v1/invites", r#"{"for":""}"#, 400, "bad_request"),
        ("POST /v1/requests/r_1", r#"{"accept":"yes"}"#, 400, "bad_request"),
        ("PATCH /v1/settings", r#"{"name":"a\u0000b"}"#, 400, "bad_request"),
        ("POST /v1/peers", r#"{"address":"somewhere"}"#, 400, "bad_request"),
        ("POST /v1/peers", r#"{"address":"/ip4/127.0.0.1/tcp/1"}"#, 400, "bad_request"),
        ("POST /v1/passphrase", r#"{"new":"short"}"#, 400, "bad_request"),
        ("POST /v1/passphrase", r#"{"new":null}"#, 409, "no_passphrase"),
        ("POST /v1/backup", "{}", 400, "bad_request"),
        ("POST /v1/backup", r#"{"passphrase":"short"}"#, 400, "bad_request"),
        ("GET /v1/backup", "", 405, "bad_method"),
        ("POST /v1/conversations/c_1/messages", r#"{"text":"hi","client_id":"7"}"#, 400, "bad_request"),
        ("POST /v1/conversations/c_1/messages", r#"{"text":"hi","expires_s":-1}"#, 400, "bad_request"),
        ("POST /v1/conversations/c_1/messages", r#"{"text":"hi","expires_s":4294967296}"#, 400, "bad_request"),
        ("PATCH /v1/contacts/p_1", r#"{"expires_s":"1d"}"#, 400, "bad_request"),
        ("POST /v1/conversations/c_1/messages", r#"{"text":"hi","attachments":["b_1"]}"#, 400, "bad_request"),
        ("POST /v1/conversations/c_1/messages", r#"{"text":"hi","reply_to":"p_1"}"#, 400, "bad_request"),
        // Queries.
        ("GET /v1/conversations/c_1/messages?limit=0", "", 400, "bad_request"),
        ("GET /v1/conversations/c_1/messages?limit=501", "", 400, "bad_request"),
        ("GET /v1/conversations/c_1/messages?limit=many", "", 400, "bad_request"),
        ("GET /v1/conversations/c_1/messages?before=7", "", 400, "bad_request"),
        ("GET /v1/conversations/c_1/messages?since=yesterday", "", 400, "bad_request"),
        ("GET /v1/conversations/c_1/messages?colour=red", "", 400, "bad_request"),
        ("GET /v1/events?since=-1", "", 400, "bad_request"),
        ("GET /v1/events?types=weather", "", 400, "bad_request"),
    ];
    for (line, body, status, code) in table {
        assert_eq!(api.ask(line, body).code(), (status, code.to_owned()), "{line} {body}");
    }
    let allowed = api.ask("PUT /v1/contacts", "").header("allow").unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    // Nothing of it has harmed the node.
    client(&home).status().unwrap();
}

#[test]
fn a_body_must_be_json_by_its_type() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let bearer = format!("Bearer {}", api.token);
    let ask = |content_type: Option<&str>| {
        let mut headers = vec![("Host", "localhost"), ("Authorization", bearer.as_str())];
        headers.extend(content_type.map(|content_type| ("Content-Type", content_type)));
        api.bare("POST /v1/invites", &headers, b"{}")
    };
    // What a form of another page can send without asking first.
    for other in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp")] {
        assert_eq!(ask(other).code(), (415, "bad_content_type".to_owned()), "{other:?}");
    }
    for json in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(ask(Some(json)).status, 201, "{json}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_and_heard_to_be() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let text = |bytes: usize| format!(r#"{{"text":"{}"}}"#, "a".repeat(bytes));
    let line = "POST /v1/conversations/c_1/messages";
    // Fits the body, and is for nobody.
    assert_eq!(api.ask(line, &text(500 * 1024)).code(), (404, "no_such_contact".to_owned()));
    for bytes in [512 * 1024, 3 * 1024 * 1024] {
        assert_eq!(api.ask(line, &text(bytes)).code(), (413, "too_large".to_owned()));
    }
    // In pieces, without a length that warns.
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        api.token
    );
    let mut request = head.into_bytes();
    for _ in 0..160 {
        request.extend_from_slice(format!("1000\r\n{}\r\n", "a".repeat(4096)).as_bytes());
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(api.raw(&request).code(), (413, "too_large".to_owned()));
    // Announced beyond all measure: answered without waiting for it.
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n",
        api.token
    );
    assert_eq!(api.raw(head.as_bytes()).code(), (413, "too_large".to_owned()));
}

#[test]
fn every_get_carries_the_newest_events_number() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let lines = [
        "GET /v1/health",
        "GET /v1/status",
        "GET /v1/id",
        "GET /v1/settings",
        "GET /v1/peers",
        "GET /v1/invites",
        "GET /v1/contacts",
        "GET /v1/requests",
        "GET /v1/conversations",
        "GET /v1/nothing",
    ];
    let before = client(&home).seq().unwrap().unwrap();
    for line in lines {
        let answer = api.ask(line, "");
        let seq: u64 = answer.header("starling-seq").unwrap_or_else(|| panic!("{line}: {answer:?}")).parse().unwrap();
        assert!(seq >= before, "{line}");
        answer.json();
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"), "{line}");
    }
    assert_eq!(api.ask("POST /v1/invites", "{}").header("starling-seq"), None);
    assert!(client(&home).seq().unwrap().unwrap() > before, "an invite is an event");
}

#[test]
fn connections_that_say_nothing_or_nonsense_harm_nobody() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    assert_eq!(api.raw(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").status, 400);
    let endless = format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(200_000));
    let mut stream = TcpStream::connect(&api.address).unwrap();
    // The node may close before it has read it all.
    let _ = stream.write_all(endless.as_bytes());
    // More than there are places: those who say nothing lose theirs, and others are answered.
    let silent: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(&api.address).unwrap()).collect();
    for mut stream in silent.iter().take(150) {
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: localh").unwrap();
    }
    client(&home).status().unwrap();
    drop(silent);
}
