//! Who may ask: only programs on this machine that can read `api.json`. SPEC: product 4.
//!
//! - Host must be a loopback name, with any port (so `ssh -L` works): a web page cannot reach the API by
//!   pointing its own name at 127.0.0.1.
//! - Origin, if there is one, must be the API itself: no other site may ask from a browser.
//! - Every path but the page's files, and those that want something in its place, wants the bearer token: that of
//!   `api.json`, or of a signed-in browser.

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use rand::Rng as _;
use starling_api::api_file::Token;
use starling_api::{ApiError, Code};

use super::page;
use super::sessions::Asker;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Calls that answer without a token: one says only whether the node lives, one wants a one-use code in its place, and
/// one a ticket.
const OPEN_CALLS: [(Method, &str); 4] = [
    (Method::GET, "/v1/health"),
    (Method::HEAD, "/v1/health"),
    (Method::POST, "/v1/sessions"),
    (Method::GET, "/v1/events/ws"),
];

/// A new token, for one run of the node.
pub(crate) fn new_token() -> Token {
    let mut bytes = zeroize::Zeroizing::new([0; TOKEN_BYTES]);
    rand::rng().fill_bytes(bytes.as_mut());
    Token::new(data_encoding::HEXLOWER.encode(bytes.as_ref()))
}

/// The rule. It keeps a hash of the token, whose comparison takes the same time whatever is given.
pub(crate) struct Guard {
    token: blake3::Hash,
}

impl Guard {
    /// Admits those who show `token`.
    pub(crate) fn new(token: &Token) -> Self {
        Self { token: blake3::hash(token.as_bytes()) }
    }

    /// Who asks with this head; nobody in particular where no token is wanted. `session` knows browsers' tokens.
    ///
    /// # Errors
    /// `bad_origin` or `no_token`.
    pub(crate) fn admit(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        session: impl FnOnce(&[u8]) -> Option<Asker>,
    ) -> Result<Option<Asker>, ApiError> {
        let host = one(headers, &HOST)?.ok_or_else(|| foreign("The request names no Host."))?;
        if !is_loopback(host) || uri.authority().is_some_and(|named| !named.as_str().eq_ignore_ascii_case(host)) {
            return Err(foreign("Host is not a name of this machine."));
        }
        if let Some(origin) = one(headers, &ORIGIN)?
            && !origin.strip_prefix("http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host))
        {
            return Err(foreign("Another site asks."));
        }
        match self.asker(headers, session) {
            Some(asker) => Ok(Some(asker)),
            None if is_open(method, uri.path()) => Ok(None),
            None => Err(no_token()),
        }
    }

    fn asker(&self, headers: &HeaderMap, session: impl FnOnce(&[u8]) -> Option<Asker>) -> Option<Asker> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return None };
        let token = bearer(value)?;
        if blake3::hash(token) == self.token { Some(Asker::Program) } else { session(token) }
    }
}

/// The page's own files, which are the same for everybody, and the calls that want no token.
fn is_open(method: &Method, path: &str) -> bool {
    let page = page::is_file(path) && (method == Method::GET || method == Method::HEAD);
    page || OPEN_CALLS.iter().any(|(known, open)| known == method && *open == path)
}

/// The token of `Bearer TOKEN`; the scheme in any case. RFC 6750, section 2.1.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// The value of a header that may stand there once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| foreign("A header is not readable.")),
        (Some(_), Some(_)) => Err(foreign("A header stands twice.")),
    }
}

/// Whether `host` is a loopback name with any port or none.
fn is_loopback(host: &str) -> bool {
    const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
    let split = if host.ends_with(']') { None } else { host.rsplit_once(':') };
    let (name, port) = split.map_or((host, None), |(name, port)| (name, Some(port)));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
        && port.is_none_or(|port| is_port(port) && port.parse::<u16>().is_ok())
}

fn foreign(what: &str) -> ApiError {
    ApiError::new(Code::BadOrigin, format!("{what} Only programs on this computer may ask."))
        .hint("Use http://127.0.0.1 with the port of this node.")
}

pub(crate) fn no_token() -> ApiError {
    ApiError::new(Code::NoToken, "This is the API of a Starling node. It wants the node's token.")
        .hint("Use the starling command, or send 'Authorization: Bearer TOKEN' with the token of api.json.")
}

#[cfg(test)]
mod tests {
    use starling_api::SessionId;

    use super::*;

    const HOST_OK: (&str, &str) = ("host", "127.0.0.1:7827");
    const TOKEN_OK: (&str, &str) = ("authorization", "Bearer 5eed");

    fn ask(path: &str, headers: &[(&str, &str)]) -> Result<(), Code> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let guard = Guard::new(&Token::new("5eed".to_owned()));
        let browser = |token: &[u8]| (token == b"b0b").then_some(Asker::Browser(SessionId::new(7)));
        guard.admit(&Method::GET, &path.parse().unwrap(), &map, browser).map(drop).map_err(|error| error.code)
    }

    #[test]
    fn host_must_be_a_loopback_name_with_any_port() {
        for host in ["127.0.0.1", "127.0.0.1:7827", "localhost", "LocalHost:1", "[::1]", "[::1]:65535"] {
            assert_eq!(ask("/v1/status", &[("host", host), TOKEN_OK]), Ok(()), "{host}");
        }
        let foreign = [
            "",
            "example.org",
            "example.org:7827",
            "127.0.0.1.example.org",
            "127.0.0.2",
            "0.0.0.0",
            "::1",
            "[::1",
            "[::2]",
            "localhost.",
            "localhost:",
            "localhost:x",
            "localhost:65536",
            "localhost:+80",
            "user@localhost",
            "127.0.0.1:1:2",
        ];
        for host in foreign {
            assert_eq!(ask("/v1/status", &[("host", host), TOKEN_OK]), Err(Code::BadOrigin), "{host}");
        }
        assert_eq!(ask("/v1/status", &[TOKEN_OK]), Err(Code::BadOrigin));
        assert_eq!(ask("/v1/status", &[HOST_OK, HOST_OK, TOKEN_OK]), Err(Code::BadOrigin));
        assert_eq!(ask("http://example.org/v1/status", &[HOST_OK, TOKEN_OK]), Err(Code::BadOrigin));
        assert_eq!(ask("http://127.0.0.1:7827/v1/status", &[HOST_OK, TOKEN_OK]), Ok(()));
    }

    #[test]
    fn origin_must_be_the_api_itself() {
        assert_eq!(ask("/v1/status", &[HOST_OK, TOKEN_OK, ("origin", "http://127.0.0.1:7827")]), Ok(()));
        let foreign = [
            "",
            "null",
            "http://127.0.0.1",
            "http://127.0.0.1:7828",
            "http://localhost:7827",
            "https://127.0.0.1:7827",
            "http://example.org",
            "127.0.0.1:7827",
            "http://127.0.0.1:7827/",
        ];
        for origin in foreign {
            let answer = ask("/v1/status", &[HOST_OK, TOKEN_OK, ("origin", origin)]);
            assert_eq!(answer, Err(Code::BadOrigin), "{origin}");
            let health = ask("/v1/health", &[HOST_OK, ("origin", origin)]);
            assert_eq!(health, Err(Code::BadOrigin), "{origin}");
        }
    }

    #[test]
    fn all_but_health_wants_the_token() {
        assert_eq!(ask("/v1/health", &[HOST_OK]), Ok(()));
        assert_eq!(ask("/v1/health?x=1", &[HOST_OK]), Ok(()));
        for path in ["/", "/page/main.js", "/v1/events/ws?ticket=1"] {
            assert_eq!(ask(path, &[HOST_OK]), Ok(()), "{path}");
        }
        for path in
            ["/v1/status", "/v1/health/", "/v1/health/x", "/nothing", "/page/../v1/status", "/page", "/v1/sessions"]
        {
            assert_eq!(ask(path, &[HOST_OK]), Err(Code::NoToken), "{path}");
            assert_eq!(ask(path, &[HOST_OK, TOKEN_OK]), Ok(()), "{path}");
        }
        let guard = Guard::new(&Token::new("5eed".to_owned()));
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost"))]);
        let posted = |path| guard.admit(&Method::POST, &Uri::from_static(path), &headers, |_| None);
        for path in ["/v1/health", "/", "/page/main.js", "/v1/events/ws"] {
            assert_eq!(posted(path).map_err(|error| error.code), Err(Code::NoToken), "{path}");
        }
        assert_eq!(posted("/v1/sessions").map_err(|error| error.code), Ok(None));
    }

    #[test]
    fn only_the_whole_token_counts() {
        for value in ["bearer 5eed", "BEARER 5eed", "Bearer  5eed "] {
            assert_eq!(ask("/v1/id", &[HOST_OK, ("authorization", value)]), Ok(()), "{value}");
        }
        for value in
            ["", "5eed", "Bearer", "Bearer ", "Bearer 5ee", "Bearer 5eedd", "Bearer 5EED", "Basic 5eed", "Bearer5eed"]
        {
            assert_eq!(ask("/v1/id", &[HOST_OK, ("authorization", value)]), Err(Code::NoToken), "{value}");
        }
        assert_eq!(ask("/v1/id", &[HOST_OK, TOKEN_OK, TOKEN_OK]), Err(Code::NoToken));
        assert_eq!(ask("/v1/id", &[HOST_OK, ("authorization", "Bearer b0b")]), Ok(()));
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (first, second) = (new_token(), new_token());
        assert_eq!(first.as_bytes().len(), 2 * TOKEN_BYTES);
        assert_ne!(first, second);
    }
}
