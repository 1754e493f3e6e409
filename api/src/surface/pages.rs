//! Writes errors as pages, for browsers: what happened, what to do, the request id. Who must sign in is led there.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::error::Error;
use shared::principal::Surface;
use web::page::error::{self, ErrorShown};
use web::reader::Reader;
use web::ui::words;

use crate::error::ApiError;
use crate::policy::Face;
use crate::surface::request_id::RequestId;

/// What an error page needs of the request, kept while the handler has it.
pub struct Asked {
    surface: Surface,
    reader: Reader,
    /// Where to come back to after signing in.
    next: String,
}

impl Asked {
    /// `None` for what is no page.
    pub fn of(request: &Request, face: Face) -> Option<Self> {
        let Face::Html(surface) = face else { return None };
        let back = if *request.method() == Method::GET { request.uri().path_and_query() } else { None };
        let next = back.map_or_else(String::new, |back| words::segment(back.as_str()));
        Some(Self { surface, reader: Reader::of(request.headers()), next })
    }

    /// A refusal that has a page of its own keeps it and gets its status. Any other becomes an error page.
    pub fn write(&self, mut response: Response, RequestId(request_id): &RequestId) -> Response {
        let status = response.status();
        let domain = response.extensions_mut().remove::<Error>().map(ApiError::from);
        let known = domain.or_else(|| response.extensions_mut().remove::<ApiError>());
        let error = match known {
            Some(error) => error,
            None if status.is_client_error() || status.is_server_error() => ApiError::of_status(status),
            None => return response,
        };
        let is_page =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if is_page {
            *response.status_mut() = error.status;
            response.extensions_mut().insert(error);
            return response;
        }
        let mut written =
            if error.status == StatusCode::UNAUTHORIZED { self.to_sign_in() } else { self.page(&error, request_id) };
        for (name, value) in response.headers() {
            if ![header::CONTENT_TYPE, header::CONTENT_LENGTH, header::WWW_AUTHENTICATE].contains(name) {
                written.headers_mut().append(name, value.clone());
            }
        }
        if let Some(seconds) = error.retry_after_seconds {
            written.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        written.extensions_mut().insert(error);
        written
    }

    fn to_sign_in(&self) -> Response {
        let page = match self.surface {
            Surface::Shop => "/signin",
            Surface::Console => "/console/signin",
        };
        let location = if self.next.is_empty() { page.to_owned() } else { format!("{page}?next={}", self.next) };
        let location = HeaderValue::from_str(&location).expect("an encoded address is ASCII");
        (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
    }

    fn page(&self, error: &ApiError, request_id: &str) -> Response {
        let on = match self.surface {
            Surface::Shop => ("/", "To the shop"),
            Surface::Console => ("/console", "To the console"),
        };
        let sentence = match error.status {
            StatusCode::NOT_FOUND => "Check the address, or begin again from the first page.".to_owned(),
            _ => sentence(&error.detail),
        };
        let failed = ErrorShown { status: error.status.as_u16(), sentence: &sentence, request_id, on };
        (error.status, error::page(&self.reader, &failed)).into_response()
    }
}

/// A detail begins small and has no full stop, because it stands in JSON.
fn sentence(detail: &str) -> String {
    let text = words::first_upper(detail);
    if text.ends_with(['.', '!', '?']) { text } else { text + "." }
}
