//! Files that are served from memory: compressed once, known by their `ETag`, and shared by all who read them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use flate2::Compression;
use tokio::sync::OnceCell;

use crate::surface::answers::SharedBody;
use crate::surface::compression::{ACCEPT_ENCODING, GZIP, accepts_gzip, gzipped};

/// A browser asks again after five minutes, so that a new version is seen soon; mostly it is answered 304.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub struct Asset {
    keep: HeaderValue,
    kind: HeaderValue,
    /// Weak, since it names the compressed and the plain form alike.
    etag: HeaderValue,
    plain: Bytes,
    /// Made for the first who takes it. None: it does not become smaller, as with pictures.
    packed: OnceCell<Option<Bytes>>,
}

impl Asset {
    pub fn new(kind: &str, plain: impl Into<Bytes>) -> Arc<Self> {
        let plain = plain.into();
        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        let etag = format!("W/\"{:016x}\"", hasher.finish());
        Arc::new(Self {
            keep: CACHE_CONTROL,
            kind: HeaderValue::from_str(kind).expect("it is a media type"),
            etag: HeaderValue::from_str(&etag).expect("it is hexadecimal"),
            plain,
            packed: OnceCell::new(),
        })
    }

    /// Its address names its version, so it never changes there.
    pub fn for_ever(self: Arc<Self>) -> Arc<Self> {
        let asset = Arc::into_inner(self).expect("it was just made");
        Arc::new(Self { keep: HeaderValue::from_static("public, max-age=31536000, immutable"), ..asset })
    }

    pub async fn answer(&self, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, self.keep.clone());
        headers.insert(header::VARY, ACCEPT_ENCODING);
        if self.is_known(asked) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, self.kind.clone());
        let packed = if accepts_gzip(asked) { self.packed().await } else { None };
        if packed.is_some() {
            headers.insert(header::CONTENT_ENCODING, GZIP);
        }
        *response.body_mut() = Body::from(packed.unwrap_or(&self.plain).clone());
        response.extensions_mut().insert(SharedBody);
        response
    }

    fn is_known(&self, asked: &HeaderMap) -> bool {
        let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        known.flat_map(|value| value.split(',')).map(str::trim).any(|etag| {
            etag == "*" || self.etag.as_bytes().strip_prefix(b"W/") == Some(etag.trim_start_matches("W/").as_bytes())
        })
    }

    async fn packed(&self) -> Option<&Bytes> {
        let make = async || {
            let plain = self.plain.clone();
            let packed = tokio::task::spawn_blocking(move || gzipped(&plain, Compression::best()));
            let packed = packed.await.expect("compressing does not panic");
            (packed.len() < self.plain.len()).then(|| packed.into())
        };
        self.packed.get_or_init(make).await.as_ref()
    }
}
