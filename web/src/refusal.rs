//! Errors as people see them: a page of its own, or the page that was asked for with a sentence at its top. The API adds the
//! status code, by the same table as for JSON.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use shared::error::{Error, Resource};

use crate::page;
use crate::rule::Site;

/// A page could not be made. The API writes it as an error page (`error_page`).
#[derive(Debug)]
pub struct PageError(pub Error);

pub type PageResult<T = Markup> = Result<T, PageError>;

impl<E: Into<Error>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// What was wrong, for the API, which gives the answer its status.
#[derive(Debug, Clone)]
pub struct Refused(pub Error);

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Refused(self.0));
        response
    }
}

/// A page that says why what was asked was not done. Nothing that was typed is lost.
pub fn refused_in_place(error: Error, page: Markup) -> Response {
    let mut response = Html(page.into_string()).into_response();
    response.extensions_mut().insert(Refused(error));
    response
}

/// What an error says to a person at a page. The texts of the API name headers and routes; these do not.
pub fn words(error: &Error) -> String {
    let text = match error {
        Error::NotFound(resource) => format!("there is no such {}", noun(*resource)),
        Error::Unauthenticated | Error::InvalidToken => "sign in first".to_owned(),
        Error::TotpRequired => "enter the code that your app shows".to_owned(),
        Error::Forbidden { needed } => format!("this needs the role {needed}"),
        Error::KeyNotActive { state } => format!("the key is {state}, so it cannot be rotated; make a new one"),
        Error::IdempotencyKeyReused => {
            "this form was sent before with other values; reload the page and try again".to_owned()
        }
        Error::RequestInProgress => {
            "the same form is still being carried out; wait a moment, then reload the page".to_owned()
        }
        Error::OutcomeUnknown => {
            "we do not know yet whether this was done; send the form again, and it is not done twice".to_owned()
        }
        Error::VersionMismatch => "somebody has changed this meanwhile; look at it again".to_owned(),
        Error::TotpAlreadyOn => "your second factor is on already".to_owned(),
        Error::TotpNotSetUp => "begin with setting up the second factor".to_owned(),
        Error::InvalidFields(fields) => {
            fields.iter().map(|field| field.message.as_str()).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    };
    sentence(&text)
}

fn noun(resource: Resource) -> &'static str {
    match resource {
        Resource::AuditRun => "audit",
        Resource::Inventory => "stock row",
        Resource::ServiceAccount => "service account",
        Resource::ApiKey => "API key",
        other => {
            let code: &'static str = other.into();
            code.trim_end_matches("_not_found")
        }
    }
}

/// With a capital letter and a full stop. Back ticks are for programmers.
pub fn sentence(text: &str) -> String {
    let text = text.replace('`', "");
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// The page of an error. `request_id` finds it in the log.
pub fn error_page(site: Site, status: StatusCode, words: &str, request_id: &str) -> Markup {
    let title = match status {
        StatusCode::NOT_FOUND => "Nothing here",
        StatusCode::FORBIDDEN => "Not yours to see",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => "Try again in a moment",
        status if status.is_server_error() => "Something went wrong",
        _ => "That did not work",
    };
    let home = match site {
        Site::Shop => "Go to the shop",
        Site::Console => "Go to the overview",
    };
    page::plain(
        site,
        title,
        html! {
            p.lead { (words) }
            p { a.button.primary href=(site.home()) { (home) } }
            p.quiet { "If it happens again, report this number: " code { (request_id) } }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sentences_without_the_names_of_headers() {
        for (error, text) in [
            (Error::NotFound(Resource::Order), "There is no such order."),
            (Error::NotFound(Resource::AuditRun), "There is no such audit."),
            (Error::field("reason", "missing", "say why"), "Say why."),
            (Error::Forbidden { needed: "admin" }, "This needs the role admin."),
            (
                Error::JobNotDead { state: "done".into() },
                "The job is done; only a dead job can be retried or discarded.",
            ),
        ] {
            assert_eq!(words(&error), text);
        }
        for error in [Error::IdempotencyKeyReused, Error::RequestInProgress, Error::OutcomeUnknown] {
            assert!(!words(&error).contains("Key"), "{}", words(&error));
        }
    }
}
