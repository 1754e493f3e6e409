//! Compresses answers: gzip at its fastest, and only where it pays.
//!
//! An answer is compressed whole and at once. A compressing stream would keep its encoder (about 300 KB) for as long as
//! the reader takes, and clients that do not read could make us keep thousands. Brotli costs several times as much for
//! a few percent, so nothing is compressed with it.

use std::io::Write;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Smaller answers fit into one packet anyway.
const LEAST: u64 = 1024;

/// Larger ones would keep a thread that many requests share for milliseconds.
const MOST: u64 = 256 * 1024;

pub const GZIP: HeaderValue = HeaderValue::from_static("gzip");
pub const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

/// May an answer be sent as gzip? `br;q=1, *;q=0.1` says so too, and `gzip;q=0` does not.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut any = false;
    for coding in codings.flat_map(|value| value.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return !refused,
            "*" => any = !refused,
            _ => {}
        }
    }
    any
}

/// The answer as it goes to a client that does, or does not, take gzip.
pub async fn compress(mut response: Response, gzip: bool) -> Response {
    if !pays(&response) {
        return response;
    }
    response.headers_mut().append(header::VARY, ACCEPT_ENCODING);
    if !gzip {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(plain) = axum::body::to_bytes(body, usize::MAX).await else {
        unreachable!("a body whose exact size is known is in memory");
    };
    let packed = gzipped(&plain, Compression::fast());
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::ACCEPT_RANGES);
    parts.headers.insert(header::CONTENT_ENCODING, GZIP);
    Response::from_parts(parts, Body::from(packed))
}

fn pays(response: &Response) -> bool {
    let size = response.body().size_hint().exact();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let text = kind.starts_with("text/") || kind.starts_with("application/json");
    text && size.is_some_and(|size| (LEAST..=MOST).contains(&size))
        && !response.headers().contains_key(header::CONTENT_ENCODING)
}

pub fn gzipped(plain: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), level);
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("memory takes everything that is written to it")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn gzip_is_accepted_where_the_client_says_so() {
        for (accepted, gzip) in [
            ("gzip", true),
            ("GZip", true),
            ("br, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *", false),
            ("*", true),
            ("*;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(accepts_gzip(&headers), gzip, "{accepted}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn only_what_becomes_smaller_is_compressed_and_it_is_the_same() {
        let json = |size| "{}".repeat(size / 2);
        for (kind, size, compressed) in [
            ("application/json", 1024, true),
            ("application/json", 200 * 1024, true),
            ("application/json", 1022, false),
            ("application/json", 300 * 1024, false),
            ("text/html", 2048, true),
            ("image/png", 2048, false),
        ] {
            let response = Response::builder().header("content-type", kind).body(Body::from(json(size))).unwrap();
            let response = compress(response, true).await;
            assert_eq!(response.headers().get("content-encoding").is_some(), compressed, "{kind} {size}");
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            if compressed {
                let mut plain = String::new();
                flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut plain).unwrap();
                assert!(plain == json(size) && bytes.len() < size / 4, "{kind} {size}");
            }
        }
        let packed = Response::builder()
            .header("content-type", "application/json")
            .header("content-encoding", "br")
            .body(Body::from(json(2048)))
            .unwrap();
        assert_eq!(compress(packed, true).await.headers()["content-encoding"], "br");
    }
}
