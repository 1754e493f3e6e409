//! Refuses forms that another site sends. Browsers say where a request comes from; nothing is in the page.

use axum::http::{HeaderMap, Method, Uri, header};

/// May this request change something? Checks `Sec-Fetch-Site`, and for older browsers `Origin` against `Host`. A request
/// with neither comes from no browser, so no browser was tricked into sending it.
pub fn is_ours(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    if method.is_safe() {
        return true;
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("not text"));
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return true };
    origin.split_once("://").is_some_and(|(_, from)| Some(from) == host(uri, headers))
}

/// The host that the browser asked for: in HTTP/2 it stands in the address.
pub fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_sites_are_refused() {
        for (method, site, origin, ours) in [
            (Method::POST, Some("same-origin"), None, true),
            (Method::POST, Some("none"), None, true),
            (Method::POST, Some("cross-site"), Some("http://shop.example"), false),
            (Method::POST, Some("same-site"), None, false),
            (Method::POST, None, Some("http://shop.example"), true),
            (Method::POST, None, Some("https://shop.example"), true),
            (Method::POST, None, Some("http://shop.example:81"), false),
            (Method::POST, None, Some("http://evil.example"), false),
            (Method::POST, None, Some("null"), false),
            (Method::POST, None, None, true),
            (Method::GET, Some("cross-site"), None, true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "shop.example".parse().unwrap());
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(is_ours(&method, &Uri::from_static("/cart"), &headers), ours, "{method} {site:?} {origin:?}");
        }
    }
}
