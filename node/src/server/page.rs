//! The page's own files. They hold nothing of the person's: what they show, they ask the API for. SPEC: product 5.
//!
//! A release build carries them; a debug build reads them from the source, so that a change shows at the next load.

use std::io::Write as _;

use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::answer::{Answer, no_such_path};

/// Where all files but the first one are.
const FOLDER: &str = "/page/";
/// What the page may do: run and show what this node serves, and ask this node.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; \
                      connect-src 'self'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'";

#[derive(RustEmbed)]
#[folder = "page"]
struct Files;

/// Whether `path` is one of the page's files.
pub(crate) fn is_file(path: &str) -> bool {
    path == "/" || path.strip_prefix(FOLDER).is_some_and(|name| Files::get(name).is_some())
}

/// `GET /`
pub(crate) async fn index(headers: HeaderMap) -> Answer {
    serve("index.html", &headers).await
}

/// `GET /page/...`
pub(crate) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Answer {
    serve(&name, &headers).await
}

async fn serve(name: &str, headers: &HeaderMap) -> Answer {
    let (Some(file), Some(kind)) = (Files::get(name), content_type(name)) else {
        return Err(no_such_path().await);
    };
    Ok(respond(&file, kind, headers))
}

/// Whether the browser unpacks gzip (RFC 9110, section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get(ACCEPT_ENCODING).and_then(|given| given.to_str().ok()).unwrap_or_default();
    given.split(',').any(|coding| {
        let mut words = coding.split(';').map(str::trim);
        let refused = |weight: &str| matches!(weight.strip_prefix("q="), Some("0" | "0.0" | "0.00" | "0.000"));
        words.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !words.any(refused)
    })
}

/// `bytes` in gzip (RFC 1952); nothing if that fails, which writing into memory does not.
fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

fn respond(file: &EmbeddedFile, kind: &'static str, headers: &HeaderMap) -> Response {
    let gzip = takes_gzip(headers);
    let hash = HEXLOWER.encode(&file.metadata.sha256_hash()[..16]);
    let tag = if gzip { format!("\"{hash}-gzip\"") } else { format!("\"{hash}\"") };
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let fixed = [
        (CONTENT_TYPE, kind),
        // Asked for each time, so that a new version shows at once; unchanged files are not sent again.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (VARY, "accept-encoding"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()",
        ),
    ];
    let packed = if gzip && !known { packed(&file.data) } else { None };
    let is_packed = packed.is_some();
    let mut response = match packed {
        _ if known => StatusCode::NOT_MODIFIED.into_response(),
        Some(packed) => packed.into_response(),
        None => file.data.clone().into_owned().into_response(),
    };
    let answer = response.headers_mut();
    if is_packed {
        answer.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in fixed {
        answer.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(ETAG, tag);
    }
    response
}

/// Files of other kinds, such as notes to their makers, are not served.
fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "webmanifest" => Some("application/manifest+json"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn whoever_unpacks_gets_it_packed_and_nobody_else() {
        let file = Files::get("main.js").unwrap();
        let body = async |accepts: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepts));
            let response = respond(&file, "text/javascript; charset=utf-8", &headers);
            let (is_packed, tag) =
                (response.headers().contains_key(CONTENT_ENCODING), response.headers()[ETAG].clone());
            assert_eq!(response.headers()[VARY], "accept-encoding");
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (is_packed, tag, bytes)
        };
        for (accepts, expected) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP ; q=0.5", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("", false),
        ] {
            let (is_packed, _, bytes) = body(accepts).await;
            assert_eq!(is_packed, expected, "{accepts}");
            let mut text = Vec::new();
            match is_packed {
                true => drop(flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut text).unwrap()),
                false => text.extend(&bytes),
            }
            assert!(text == *file.data && (!is_packed || bytes.len() < text.len()));
        }
        assert_ne!(body("gzip").await.1, body("").await.1, "two forms have two tags");
    }

    #[tokio::test]
    async fn every_file_that_the_page_names_is_there_and_is_small() {
        let mut bytes = 0;
        for name in Files::iter() {
            let file = Files::get(&name).unwrap();
            let Some(kind) = content_type(&name) else { continue };
            bytes += file.data.len();
            let response = respond(&file, kind, &HeaderMap::new());
            assert!(response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
            let mut again = HeaderMap::new();
            again.insert(IF_NONE_MATCH, response.headers()[ETAG].clone());
            assert_eq!(respond(&file, kind, &again).status(), StatusCode::NOT_MODIFIED);
            if kind.starts_with("text/") {
                let text = str::from_utf8(&file.data).unwrap();
                for start in [" from \"./", "\"/page/"] {
                    for from in text.split(start).skip(1) {
                        let named = from.split('"').next().unwrap();
                        assert!(Files::get(named).is_some(), "{name} names {named}");
                    }
                }
                for foreign in ["http://", "https://", "innerHTML", "eval(", " style=\"", "onclick="] {
                    let allowed = foreign == "http://" && name == "words.js" || text.contains("www.w3.org/2000/svg");
                    assert!(allowed || !text.contains(foreign), "{name} has {foreign}");
                }
            }
        }
        assert!(bytes <= 150 * 1024, "the page weighs {bytes} bytes");
        assert!(is_file("/") && is_file("/page/main.js"));
        for path in ["/page/", "/page/none.js", "/page/../Cargo.toml", "/page//etc/passwd", "/main.js"] {
            assert!(!is_file(path), "{path}");
        }
    }
}
