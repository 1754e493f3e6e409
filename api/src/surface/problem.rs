//! Writes every error as a problem document (RFC 9457), or as a page where a browser asked. Also errors that a library
//! answered in a form of its own.

use axum::Json;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use web::once::see_other;
use web::refusal::{Refused, error_page};
use web::rule::Site;

use crate::error::{ApiError, PROBLEM_JSON};
use crate::policy::Face;
use crate::surface::request_id::RequestId;

pub fn write(mut response: Response, face: Face, asked: &Asked, request_id: &RequestId) -> Response {
    if let Some(Refused(error)) = response.extensions_mut().remove::<Refused>() {
        let error = ApiError::from(error);
        *response.status_mut() = error.status;
        response.extensions_mut().insert(error);
    }
    match face {
        Face::Html(site) => as_page(response, site, asked, request_id),
        Face::Json | Face::Docs | Face::Asset => as_document(response, request_id),
    }
}

fn as_document(mut response: Response, RequestId(request_id): &RequestId) -> Response {
    let status = response.status();
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        None if response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON) => {
            return response;
        }
        None if status.is_client_error() || status.is_server_error() => ApiError::of_status(status),
        None => return response,
    };
    let mut written = (status, Json(error.problem(request_id))).into_response();
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            written.headers_mut().append(name, value.clone());
        }
    }
    written.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    written.extensions_mut().insert(error);
    written
}

/// What an error page must know of its request.
pub struct Asked {
    /// The page that somebody should come back to after signing in: this one, or the one with the form.
    back: String,
}

impl Asked {
    pub fn of(request: &Request) -> Self {
        let here = request.uri().path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
        let back = if request.method() == Method::GET { here } else { form_page(request).unwrap_or_default() };
        Self { back }
    }
}

/// The page whose form was sent. Our pages tell it to ourselves only.
fn form_page(request: &Request) -> Option<String> {
    let from: Uri = request.headers().get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    from.path_and_query().map(|path| path.as_str().to_owned())
}

/// A page that was made in spite of an error stays. Whoever is not signed in goes to the sign-in and comes back.
fn as_page(mut response: Response, site: Site, asked: &Asked, RequestId(request_id): &RequestId) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let error = response.extensions_mut().remove::<ApiError>().unwrap_or_else(|| ApiError::of_status(status));
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let mut page = match error.code.as_str() {
        _ if is_page => {
            response.extensions_mut().insert(error);
            return response;
        }
        "unauthenticated" => see_other(&sign_in(site, asked)),
        "totp_setup_required" => see_other("/console/me?done=totp"),
        "password_required" => see_other(&format!("/console/confirm?{}", next(asked))),
        _ => Html(error_page(site, error.status, &error.words_for_people(), request_id).into_string()).into_response(),
    };
    if page.status() == StatusCode::OK {
        *page.status_mut() = error.status;
    }
    for (name, value) in response.headers() {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH, header::WWW_AUTHENTICATE].contains(name) {
            page.headers_mut().append(name, value.clone());
        }
    }
    page.extensions_mut().insert(error);
    page
}

fn sign_in(site: Site, asked: &Asked) -> String {
    format!("{}?{}", site.sign_in(), next(asked))
}

fn next(asked: &Asked) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("next", &asked.back).finish()
}
