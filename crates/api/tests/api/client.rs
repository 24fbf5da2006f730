//! The client against a listener that answers canned bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use starling_api::message::{MessagesQuery, SendMessage};
use starling_api::node::NodeState;
use starling_api::{
    ApiFile, Client, ClientError, Code, ContactId, EventBody, EventType, ExitCode, MessageId, Passphrase, Time,
};

/// A server that answers each connection's first request with the next of `answers`, and then closes. The
/// requests come back by the channel.
fn server(answers: Vec<Vec<u8>>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !is_whole(&request) {
                let read = stream.read(&mut piece).unwrap();
                assert_ne!(read, 0, "the client hung up");
                request.extend_from_slice(&piece[..read]);
            }
            sender.send(String::from_utf8(request).unwrap()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    (url, requests)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|length| length.parse().unwrap());
    body.len() >= length.unwrap_or(0)
}

fn json(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

fn client(url: &str) -> Client {
    Client::new(url, Some(&Passphrase::new("5eed".to_owned())))
}

const MESSAGE: &str = r#"{"v":1,"id":"m_2","conversation":"c_9x","client_id":null,"from":"me","text":"hi","created":"2026-11-23T14:02:11.208Z","received":null,"sender_clock":"ok","state":{"name":"queued","since":"2026-11-23T14:02:11.208Z","held_by":0,"neighbours":0,"until":null,"reason":"no_peers","attempts":0},"reply_to":null,"attachments":[],"expires":null}"#;

#[test]
fn a_call_carries_the_token_and_its_query() {
    let health = json("200 OK", "Starling-Seq: 1042\r\n", r#"{"v":1,"state":"alone"}"#);
    let messages = json("200 OK", "", r#"{"v":1,"conversation":"c_9x","messages":[],"before":null}"#);
    let (url, requests) = server(vec![health.clone(), health, messages]);
    let client = client(&url);
    assert_eq!(client.health().unwrap().state, NodeState::Alone);
    let request = requests.recv().unwrap();
    assert!(request.starts_with("GET /v1/health HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("authorization: bearer 5eed\r\n"), "{request}");
    assert!(!format!("{client:?}").contains("5eed"));
    assert_eq!(client.seq().unwrap(), Some(1_042));
    requests.recv().unwrap();
    let query = MessagesQuery { before: Some(MessageId::new(7)), limit: Some(3), since: Some(Time(0)) };
    assert!(client.messages(ContactId::new(317).conversation(), &query).unwrap().messages.is_empty());
    let request = requests.recv().unwrap();
    let line = "GET /v1/conversations/c_9x/messages?before=m_7&limit=3&since=1970-01-01T00:00:00.000Z HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
}

#[test]
fn a_repeated_send_says_that_it_was_known() {
    let (url, requests) = server(vec![json("201 Created", "", MESSAGE), json("200 OK", "", MESSAGE)]);
    let (client, send) = (client(&url), SendMessage { text: "hi".to_owned(), ..SendMessage::default() });
    let conversation = ContactId::new(317).conversation();
    assert!(!client.send(conversation, &send).unwrap().known);
    let sent = client.send(conversation, &send).unwrap();
    assert!(sent.known);
    assert_eq!(sent.message.id, MessageId::new(2));
    let request = requests.recv().unwrap();
    let body = r#"{"client_id":null,"text":"hi","reply_to":null,"expires_s":null,"attachments":[]}"#;
    assert!(
        request.ends_with(body) && request.to_lowercase().contains("content-type: application/json\r\n"),
        "{request}"
    );
}

#[test]
fn a_refusal_comes_as_it_was_sent() {
    let body = r#"{"v":1,"error":{"code":"locked","message":"Locked.","hint":"starling unlock","retry":"after_fix","field":null,"details":null}}"#;
    let (url, _requests) = server(vec![json("409 Conflict", "", body), json("409 Conflict", "", body)]);
    let error = client(&url).contacts().unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Refused);
    let ClientError::Api(error) = error else { panic!("{error:?}") };
    assert_eq!((error.code, error.hint.as_deref()), (Code::Locked, Some("starling unlock")));
    let events = client(&url).events(None, &[], None).unwrap_err();
    assert!(matches!(events, ClientError::Api(error) if error.code == Code::Locked));
}

#[test]
fn something_else_that_answers_is_not_taken_for_a_node() {
    let page =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>".to_vec();
    let moved =
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            .to_vec();
    let newer = json("200 OK", "", r#"{"v":2,"state":"alone"}"#);
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{\"v\":1".to_vec();
    let noise = b"SSH-2.0-OpenSSH_9.6\r\n".to_vec();
    let (url, _requests) = server(vec![page, moved, newer, cut, noise]);
    let client = client(&url);
    let fails = || client.health().unwrap_err();
    assert!(matches!(fails(), ClientError::NotUnderstood { version: None, .. }));
    assert!(matches!(fails(), ClientError::NotUnderstood { version: None, .. }));
    let newer = fails();
    assert!(matches!(newer, ClientError::NotUnderstood { version: Some(2), .. }));
    assert_eq!(newer.exit_code(), ExitCode::Version);
    assert!(matches!(fails(), ClientError::Disconnected(_)));
    assert!(matches!(fails(), ClientError::NotUnderstood { .. } | ClientError::Disconnected(_)));
}

#[test]
fn no_node_is_told_with_the_folder() {
    let data = tempfile::tempdir().unwrap();
    let expected = format!("No node runs for {}. Start it: starling   Other folder: --data DIR", data.path().display());
    let none = Client::open(data.path()).unwrap_err();
    assert_eq!((none.to_string(), none.exit_code()), (expected.clone(), ExitCode::NoNode));

    // Left by a node that was killed: nobody listens there any more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let token = Passphrase::new("5eed".to_owned());
    let file = ApiFile { url, token, pid: 1, started: Time(0) };
    file.write(data.path()).unwrap();
    let client = Client::open(data.path()).unwrap();
    assert_eq!(client.pid(), Some(1));
    let stale = client.health().unwrap_err();
    assert_eq!((stale.to_string(), stale.exit_code()), (expected, ExitCode::NoNode));
}

#[test]
fn a_token_never_leaves_this_machine() {
    let data = tempfile::tempdir().unwrap();
    for url in [
        "http://192.0.2.1:7827",
        "https://127.0.0.1",
        "http://127.0.0.1.example.org",
        "http://127.0.0.1@192.0.2.1:80",
        "",
    ] {
        let file = ApiFile { url: url.to_owned(), token: Passphrase::new("5eed".to_owned()), pid: 1, started: Time(0) };
        file.write(data.path()).unwrap();
        assert!(matches!(Client::open(data.path()), Err(ClientError::ApiFile { .. })), "{url}");
    }
    std::fs::write(ApiFile::path(data.path()), "{").unwrap();
    assert!(matches!(Client::open(data.path()), Err(ClientError::ApiFile { .. })));
}

fn chunked(lines: &[&str], ended: bool) -> Vec<u8> {
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for line in lines {
        answer.extend_from_slice(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes());
    }
    if ended {
        answer.extend_from_slice(b"0\r\n\r\n");
    }
    answer
}

fn line(seq: u64) -> String {
    format!(
        r#"{{"v":1,"seq":{seq},"time":"2026-11-23T14:02:11.208Z","type":"node.state","data":{{"state":"online"}}}}"#
    )
}

#[test]
fn events_come_one_by_one_until_the_node_stops() {
    // Pieces need not end where lines end.
    let (first, second) = (line(4), line(5));
    let (begin, end) = second.split_at(30);
    let body = chunked(&[&format!("{first}\n{begin}"), &format!("{end}\n")], true);
    let (url, requests) = server(vec![body]);
    let mut events = client(&url).events(Some(3), &[EventType::NodeState, EventType::MessageState], None).unwrap();
    let request = requests.recv().unwrap();
    assert!(request.starts_with("GET /v1/events?since=3&types=node.state,message.state HTTP/1.1\r\n"), "{request}");
    let one = events.next().unwrap().unwrap();
    assert_eq!((one.text, one.event.seq), (first, 4));
    assert!(matches!(one.event.body, EventBody::NodeState(data) if data.state == NodeState::Online));
    assert_eq!(events.next().unwrap().unwrap().event.seq, 5);
    assert!(events.next().is_none());
    assert_eq!(events.last_seq(), Some(5));
}

#[test]
fn a_stream_that_breaks_is_no_orderly_end() {
    let (url, _requests) = server(vec![chunked(&[&format!("{}\n", line(4))], false), chunked(&["{\"v\":1,"], true)]);
    let mut events = client(&url).events(None, &[], None).unwrap();
    assert_eq!(events.next().unwrap().unwrap().event.seq, 4);
    assert!(matches!(events.next(), Some(Err(ClientError::Disconnected(_)))));
    assert!(events.next().is_none());
    let mut events = client(&url).events(None, &[], None).unwrap();
    assert!(matches!(events.next(), Some(Err(ClientError::Disconnected(_)))));
}

#[test]
fn a_stream_with_a_limit_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&chunked(&[&format!("{}\n", line(4))], false)).unwrap();
        // Held open until the client has gone.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let mut events = client(&url).events(None, &[], Some(Duration::from_millis(300))).unwrap();
    assert_eq!(events.next().unwrap().unwrap().event.seq, 4);
    assert!(matches!(events.next(), Some(Err(ClientError::TimedOut))));
    drop(events);
    server.join().unwrap();
}

#[test]
fn a_node_that_does_not_answer_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let error = client(&url).with_timeout(Duration::from_millis(200)).health().unwrap_err();
    assert!(matches!(error, ClientError::TimedOut), "{error:?}");
    assert_eq!(error.exit_code(), ExitCode::NotInTime);
}
