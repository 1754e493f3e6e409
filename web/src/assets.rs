//! The files that pages link to: stylesheet, scripts, font. Embedded in the binary; read from disk in debug builds.

use std::fmt::Write as _;

use axum::extract::Path;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use shared::error::{Error, Resource};

use crate::answer::Refused;

#[derive(rust_embed::RustEmbed)]
#[folder = "src/assets/"]
struct Files;

/// Where pages link to a file. The hash of its bytes is in the address, so browsers may keep it for ever.
pub fn href(name: &str) -> String {
    let mut href = format!("/assets/{name}");
    if let Some(file) = Files::get(name) {
        href.push_str("?v=");
        for byte in &Sha256::digest(&file.data)[..6] {
            write!(href, "{byte:02x}").expect("writing to a string does not fail");
        }
    }
    href
}

/// A file's bytes and content type; none where there is no such file.
pub fn file(name: &str) -> Option<(Vec<u8>, &'static str)> {
    let kind = match name.rsplit_once('.')?.1 {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "woff2" => "font/woff2",
        "svg" => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    };
    Some((Files::get(name)?.data.into_owned(), kind))
}

/// Serves a file. An address with the right hash may be kept for ever, others for an hour.
pub async fn serve(Path(name): Path<String>, uri: Uri) -> Result<Response, Refused> {
    let (bytes, kind) = file(&name).ok_or(Error::NotFound(Resource::File))?;
    let hashed = uri.query().is_some_and(|query| href(&name) == format!("/assets/{name}?{query}"));
    let kept = if hashed { "public, max-age=31536000, immutable" } else { "public, max-age=3600" };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)], bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_changes_with_the_file() {
        assert!(href("millrace.css").starts_with("/assets/millrace.css?v="));
        assert_eq!(href("missing.css"), "/assets/missing.css");
        assert_eq!(file("millrace.css").unwrap().1, "text/css; charset=utf-8");
        assert!(file("../lib.rs").is_none());
    }
}
