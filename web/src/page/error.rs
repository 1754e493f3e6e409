//! Errors as pages: what happened, what to do next, and the request id for the person who looks into it.

use maud::{Markup, html};

use super::document;
use crate::reader::Reader;
use crate::ui::icon;

pub struct ErrorShown<'a> {
    pub status: u16,
    /// A sentence that a person can act on.
    pub sentence: &'a str,
    pub request_id: &'a str,
    /// Address and words of the way on.
    pub on: (&'a str, &'a str),
}

pub fn page(reader: &Reader, failed: &ErrorShown<'_>) -> Markup {
    let title = title(failed.status);
    let body = html! {
        main id="main" class="error-page" {
            a class="brand" href="/" { (icon::mark()) "Millrace" }
            p class="code" { (failed.status) }
            h1 { (title) }
            p { (failed.sentence) }
            a class="button primary" href=(failed.on.0) { (failed.on.1) }
            p class="quiet-text" { "Request " code { (failed.request_id) } }
        }
    };
    document(reader, "alone", &format!("{title} · Millrace"), &[], body)
}

fn title(status: u16) -> &'static str {
    match status {
        403 => "This is not for you",
        404 => "There is nothing here",
        409 | 412 => "Somebody was faster",
        429 => "Too fast",
        503 | 504 => "Not at this moment",
        400..500 => "This cannot be",
        _ => "Something went wrong on our side",
    }
}
