//! Signing in to the console, for staff.

use axum::http::header;
use maud::{Markup, html};
use shared::error::Error;
use shared::principal::Surface;

use crate::answer::PageResult;
use crate::form::Form;
use crate::page::alone;
use crate::signing::{self, next};
use crate::ui::banner::{self, Flash};
use crate::ui::{Tone, layout, words};
use crate::visit::Visit;

/// Where staff begin.
const FIRST: &str = "/console";

pub async fn page(visit: Visit) -> PageResult {
    let next = way_on(visit.query("next").as_deref());
    if visit.caller.is_some() {
        return Ok(visit.see(&next));
    }
    Ok(visit.page(render(&visit, "", &next, None)))
}

pub async fn sign_in(visit: Visit, form: Form) -> PageResult {
    let next = way_on(Some(form.get("next")));
    match signing::sign_in(&visit, Surface::Console, form.get("email"), form.exact("password")).await {
        Ok(cookie) => {
            let mut response = visit.see(&next);
            response.headers_mut().append(header::SET_COOKIE, cookie);
            Ok(response)
        }
        Err(error) => {
            let sentence = match &error {
                Error::Forbidden { .. } => "The console is for staff. This account belongs to a customer.".to_owned(),
                other => words::first_upper(&other.to_string()),
            };
            let page = render(&visit, form.get("email"), &next, Some(sentence));
            Ok(visit.refused(error, page))
        }
    }
}

pub async fn sign_out(visit: Visit) -> PageResult {
    let mut response = visit.see("/console/signin");
    response.headers_mut().append(header::SET_COOKIE, signing::sign_out(&visit, Surface::Console).await?);
    Ok(response)
}

/// Somebody who signs in to the console goes on in the console.
fn way_on(asked: Option<&str>) -> String {
    Some(next(asked)).filter(|path| path.starts_with(FIRST)).unwrap_or_else(|| FIRST.to_owned())
}

fn render(visit: &Visit, email: &str, next: &str, refusal: Option<String>) -> Markup {
    let content = layout::narrow(
        "Sign in to the console",
        html! {
            @if let Some(text) = refusal { (banner::flash(&Flash { tone: Tone::Bad, text })) }
            (signing::form("/console/signin", email, next))
            @if visit.state.shop { p { (layout::link("/", "To the shop")) } }
        },
    );
    alone::page(&visit.reader, "Sign in", content)
}
