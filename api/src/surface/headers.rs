//! The headers that every answer carries.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use crate::policy::Face;
use crate::surface::request_id::{RequestId, X_REQUEST_ID};

/// No page may frame an answer of ours, and no browser may guess its type.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Data is not a page. If a browser shows it as one all the same, it may load and run nothing.
const CSP_OF_DATA: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Swagger UI loads only our own files, but its scripts write inline styles and `data:` images into the page.
const CSP_OF_DOCS: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Pages load and run only our own files, send forms only to us, and turn no text into markup except in one place of ours.
const CSP_OF_PAGES: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types millrace; report-uri /csp",
);

/// Other origins can neither hold on to our windows nor embed our pages.
const ISOLATION: [(HeaderName, HeaderValue); 2] = [
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Our pages use no camera and the like.
const NO_FEATURES: HeaderValue =
    HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()");

/// HSTS for one year, without `includeSubDomains`: other services under this domain decide for themselves.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds what is missing; a header that the handler has set stays.
pub fn add(response: &mut Response, face: Face, RequestId(request_id): &RequestId, over_tls: bool) {
    let headers = response.headers_mut();
    if let Face::Html(_) = face {
        // Without it browsers would send forms with `Origin: null`, and nobody could tell ours from a stranger's.
        headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("same-origin"));
    }
    headers.insert(&X_REQUEST_ID, HeaderValue::from_str(request_id).expect("it is visible ASCII"));
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
    if over_tls {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(STRICT_TRANSPORT);
    }
    match face {
        Face::Json => {
            headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(CSP_OF_DATA);
            // Tokens and other people's orders are in these answers.
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
        Face::Html(_) => {
            headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(CSP_OF_PAGES);
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            headers.entry("permissions-policy").or_insert(NO_FEATURES);
            for (name, value) in ISOLATION {
                headers.entry(name).or_insert(value);
            }
        }
        Face::Asset => {
            headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(CSP_OF_DATA);
        }
        Face::Docs => {
            headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(CSP_OF_DOCS);
        }
    }
}
