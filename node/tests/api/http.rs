//! Requests written by hand, so that they can be wrong in every way.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use starling_api::{ApiFile, Client};

use crate::harness::{DEADLINE, Home};

/// Where a node's API is, and its token.
pub(crate) struct Api {
    pub(crate) address: String,
    pub(crate) token: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let line = self.head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")))?;
        line.split_once(": ").map(|(_, value)| value.to_owned())
    }

    /// The body, which is JSON whatever happened.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type").as_deref(), Some("application/json"), "{self:?}");
        assert!(self.body.starts_with(b"{\"v\":1"), "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of an error, which has every field that errors have.
    #[track_caller]
    pub(crate) fn code(&self) -> (u16, String) {
        let error = &self.json()["error"];
        for field in ["code", "message", "hint", "retry", "field", "details"] {
            assert!(error.get(field).is_some(), "{field} is missing: {error}");
        }
        assert!(!error["message"].as_str().unwrap().is_empty());
        (self.status, error["code"].as_str().unwrap().to_owned())
    }
}

impl Api {
    pub(crate) fn of(home: &Home) -> Self {
        let file = ApiFile::load(&home.data()).unwrap();
        let address = file.url.strip_prefix("http://").unwrap().to_owned();
        Self { address, token: String::from_utf8(file.token.as_bytes().to_vec()).unwrap() }
    }

    /// Sends these bytes and reads until the node closes.
    #[track_caller]
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: answer[end + 4..].to_vec() }
    }

    /// One request with exactly these headers.
    #[track_caller]
    pub(crate) fn bare(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes)
    }

    /// One request with Host, token and JSON's content type.
    #[track_caller]
    pub(crate) fn ask(&self, line: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers =
            [("Host", self.address.as_str()), ("Authorization", &bearer), ("Content-Type", "application/json")];
        self.bare(line, &headers, body.as_bytes())
    }
}

/// The typed client of the node in `home`.
pub(crate) fn client(home: &Home) -> Client {
    Client::open(&home.data()).unwrap().with_timeout(DEADLINE)
}
