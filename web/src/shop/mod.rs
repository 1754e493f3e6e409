//! The shop: pages for the people who buy. A file for each screen, with its routes.

mod account;
mod browse;
mod cart;
mod checkout;
mod orders;
mod product;

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use maud::Markup;

use crate::page::{self, Shell};
use crate::rule::PageRoutes;
use crate::visit::Visit;

use self::cart::Cart;

pub fn routes() -> PageRoutes {
    PageRoutes::default()
        .merge(browse::routes())
        .merge(product::routes())
        .merge(cart::routes())
        .merge(checkout::routes())
        .merge(orders::routes())
        .merge(account::routes())
}

/// A page of the shop. The cart is read for the number in the head.
fn show(visit: &Visit, headers: &HeaderMap, title: &str, content: &Markup) -> Markup {
    show_live(visit, headers, title, None, content)
}

/// A page that hears of changes.
fn show_live(visit: &Visit, headers: &HeaderMap, title: &str, live: Option<String>, content: &Markup) -> Markup {
    let shell = Shell { visit, title, live, banners: maud::html! {} };
    page::shop(&shell, Cart::of(headers).units(), content)
}

/// A page with a new cart in its cookie.
fn with_cart(response: impl IntoResponse, cart: &Cart, secure: bool) -> Response {
    let mut response = response.into_response();
    response.headers_mut().append(axum::http::header::SET_COOKIE, cart.cookie(secure));
    response
}
