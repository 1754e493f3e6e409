//! The layout of the shop's pages, and the cart's cookie on their answers.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::cart::Cart;
use crate::page::{self, Shell};
use crate::visit::Visit;

/// A page of the shop. The cart is read for the number in the head.
pub(super) fn show(visit: &Visit, headers: &HeaderMap, title: &str, content: &Markup) -> Markup {
    show_live(visit, headers, title, None, content)
}

/// A page that hears of changes.
pub(super) fn show_live(
    visit: &Visit,
    headers: &HeaderMap,
    title: &str,
    live: Option<String>,
    content: &Markup,
) -> Markup {
    let shell = Shell { visit, title, live, banners: html! {} };
    page::shop(&shell, Cart::of(headers).units(), content)
}

/// A page with a new cart in its cookie.
pub(super) fn with_cart(response: impl IntoResponse, cart: &Cart, secure: bool) -> Response {
    let mut response = response.into_response();
    response.headers_mut().append(header::SET_COOKIE, cart.cookie(secure));
    response
}
