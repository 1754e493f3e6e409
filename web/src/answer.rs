//! The answers of pages: markup, a way on after a form, and refusals.
//!
//! A refusal carries the error of the domain. The surface of the API turns it into a status, and into a page where the
//! answer has none of its own. So there is one table of status codes.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::Markup;
use shared::error::Error;

use crate::cookies;
use crate::ui::Tone;
use crate::ui::banner::Flash;
use crate::visit::Visit;

pub type PageResult = Result<Response, Refused>;

/// A request that cannot be answered with its page.
#[derive(Debug)]
pub struct Refused(Error);

impl<E: Into<Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// What a form has done. The next page says it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum DoneNotice {
    AddedToCart,
    CartIsFull,
    OrderPlaced,
    OrderCancelled,
    PasswordChanged,
    JobRetried,
    JobDiscarded,
    MarkedPaid,
    ShippedByHand,
    MarkedDelivered,
    QueuePaused,
    QueueResumed,
}

impl DoneNotice {
    pub const COOKIE: &str = "millrace-done";

    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    pub fn flash(self) -> Flash {
        let (tone, text) = match self {
            Self::AddedToCart => (Tone::Good, "It is in your cart."),
            Self::CartIsFull => (Tone::Warn, "Your cart is full. Order what is in it first."),
            Self::OrderPlaced => (Tone::Good, "Thank you. Your order is placed."),
            Self::OrderCancelled => (Tone::Good, "The order is being cancelled."),
            Self::PasswordChanged => (Tone::Good, "Your password is changed. Other browsers were signed out."),
            Self::JobRetried => (Tone::Good, "The job is retried now."),
            Self::JobDiscarded => (Tone::Good, "The job was given up."),
            Self::MarkedPaid => (Tone::Good, "The order is marked as paid."),
            Self::ShippedByHand => (Tone::Good, "The order is marked as shipped."),
            Self::MarkedDelivered => (Tone::Good, "The order is marked as delivered."),
            Self::QueuePaused => (Tone::Good, "The queue is paused. Running jobs finish."),
            Self::QueueResumed => (Tone::Good, "The queue is resumed."),
        };
        Flash { tone, text: text.to_owned() }
    }
}

/// The next page shows it; a page that is never loaded must not show it tomorrow.
const DONE_KEPT: Duration = Duration::from_secs(30);

impl Visit {
    /// What the last press did, for one page.
    pub fn done(&self) -> Option<DoneNotice> {
        DoneNotice::parse(self.cookie(DoneNotice::COOKIE)?)
    }

    /// A page. What the last press did is said, so it is not said again.
    pub fn page(&self, markup: Markup) -> Response {
        let mut response = markup.into_response();
        if self.cookie(DoneNotice::COOKIE).is_some() {
            response.headers_mut().append(header::SET_COOKIE, cookies::remove(DoneNotice::COOKIE, self.channel));
        }
        response
    }

    /// A page with a form that was refused: it says why, where the form is.
    pub fn refused(&self, error: Error, markup: Markup) -> Response {
        let mut response = self.page(markup);
        response.extensions_mut().insert(error);
        response
    }

    /// Leads on after a form, so that a reload sends nothing again.
    pub fn see(&self, path: &str) -> Response {
        let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
        (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
    }

    pub fn see_done(&self, path: &str, done: DoneNotice) -> Response {
        let mut response = self.see(path);
        let cookie = cookies::set(DoneNotice::COOKIE, done.into(), Some(DONE_KEPT), self.channel);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        response
    }
}
