//! The page of the cart, and putting something into it.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use shared::catalog::products;
use shared::values::Sku;

use super::cart::{Cart, MAX_QUANTITY, Priced, price, totals};
use super::shell::{show, with_cart};
use crate::WebState;
use crate::form::Fields;
use crate::once::{and_say, see_other};
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, Rule, Site, Visitors};
use crate::ui::action::{self, Emphasis};
use crate::ui::list::segment;
use crate::ui::money::{money, sums};
use crate::ui::{self, notice, picture};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let change = Rule::write(Site::Shop, Visitors::Anyone);
    PageRoutes::default()
        .page("/cart", show_cart, Rule::read(Site::Shop, Visitors::Anyone))
        .form("/cart", change_cart, change)
        .form("/cart/add", add, change)
}

async fn show_cart(State(web): State<WebState>, visit: Visit, headers: HeaderMap) -> PageResult {
    let cart = Cart::of(&headers);
    let lines = price(&mut *web.db.acquire().await?, &cart).await?;
    let content = html! {
        h1 { "Your cart" }
        @if lines.is_empty() {
            (ui::empty("Your cart is empty", html! { p { a.button.primary href="/" { "Look around" } } }))
        } @else { (lines_form(&lines)) }
    };
    Ok(show(&visit, &headers, "Your cart", &content))
}

fn lines_form(lines: &[Priced]) -> Markup {
    let can_order = lines.iter().all(|line| line.problem().is_none());
    html! {
        form.cart-lines method="post" action="/cart" {
            ul {
                @for line in lines { li {
                    a href={ "/p/" (segment(line.product.sku.as_str())) } {
                        (picture::product(line.product.sku.as_str(), line.product.name.as_str(), false))
                    }
                    div {
                        a.name href={ "/p/" (segment(line.product.sku.as_str())) } { (line.product.name.as_str()) }
                        span.quiet { (money(line.product.price)) " each" }
                        @if let Some(problem) = line.problem() { (notice::bad(&problem)) }
                        @if let Some(change) = line.change() { (notice::hint(&change)) }
                    }
                    label { span.hidden { "Quantity of " (line.product.name.as_str()) }
                        input name={ "quantity:" (line.product.sku.as_str()) } type="number" min="0" max=(MAX_QUANTITY)
                            value=(line.quantity) required; }
                    span.num { (money(line.total())) }
                    button.button.plain name="remove" value=(line.product.sku.as_str()) formnovalidate { "Remove" }
                } }
            }
            div.actions {
                button.button { "Update the cart" }
                span.total { "Total " b { (sums(&totals(lines))) } }
                @if can_order { (action::link("/checkout", "Check out", Emphasis::Primary)) }
            }
        }
        @if !can_order { p { "Change the lines above that cannot be had, then check out." } }
    }
}

async fn add(State(web): State<WebState>, headers: HeaderMap, sent: Fields) -> PageResult<Response> {
    let sku: Sku = sent.value("sku")?;
    let quantity: u32 = sent.value("quantity")?;
    let mut conn = web.db.acquire().await?;
    let id = products::id_of_sku(&mut conn, &sku).await?;
    let product = products::get(&mut conn, id).await?;
    let mut cart = Cart::of(&headers);
    let before = cart.line(&sku).map_or(0, |line| line.quantity);
    cart.put(sku, before.saturating_add(quantity), Some(product.price.amount));
    Ok(with_cart(see_other(&and_say("/cart", "added")), &cart, web.settings.secure))
}

async fn change_cart(State(web): State<WebState>, headers: HeaderMap, sent: Fields) -> PageResult<Response> {
    let before = Cart::of(&headers);
    let mut cart = Cart::default();
    for line in before.lines() {
        let typed = sent.optional::<u32>(&format!("quantity:{}", line.sku.as_str()))?;
        let removed = sent.text("remove") == line.sku.as_str();
        cart.put(line.sku.clone(), if removed { 0 } else { typed.unwrap_or(line.quantity) }, line.seen);
    }
    Ok(with_cart(see_other("/cart"), &cart, web.settings.secure))
}
