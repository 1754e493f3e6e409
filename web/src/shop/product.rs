//! A product: what it is, what it costs, whether it can be had.

use axum::extract::State;
use axum::http::HeaderMap;
use maud::{Markup, html};
use shared::catalog::products::{self, ProductView};
use shared::error::{Error, Resource};
use shared::values::Sku;

use super::shell::show;
use crate::WebState;
use crate::path::InPath;
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, Rule, Site, Visitors};
use crate::ui::money::money;
use crate::ui::{self, picture};
use crate::visit::Visit;

/// Below this number the shop says how many are left.
const FEW: i64 = 10;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/p/{sku}", product, Rule::read(Site::Shop, Visitors::Anyone))
}

async fn product(
    State(web): State<WebState>,
    visit: Visit,
    headers: HeaderMap,
    InPath(sku): InPath<String>,
) -> PageResult {
    let sku: Sku = sku.parse().map_err(|_| Error::NotFound(Resource::Product))?;
    let id = products::id_of_sku(&mut *web.db.acquire().await?, &sku).await?;
    let facts = web.cache.product(id, None).await?;
    let product = &facts.product;
    if !product.active {
        return Err(Error::NotFound(Resource::Product).into());
    }
    let content = html! {
        article.product-page {
            (picture::product(product.sku.as_str(), product.name.as_str(), true))
            div {
                h1 { (product.name.as_str()) }
                p.price { (money(product.price)) }
                (availability(product.available))
                @if product.available > 0 { (buy(product)) }
                p.description { (product.description.as_str()) }
                (details(product))
            }
        }
    };
    Ok(show(&visit, &headers, product.name.as_str(), &content))
}

fn buy(product: &ProductView) -> Markup {
    html! {
        form.buy method="post" action="/cart/add" {
            input type="hidden" name="sku" value=(product.sku.as_str());
            label for="quantity" { "Quantity" }
            input #quantity name="quantity" type="number" min="1" max=(product.available.min(10_000)) value="1" required;
            button.button.primary { "Add to cart" }
        }
    }
}

fn details(product: &ProductView) -> Markup {
    let mut facts = vec![("SKU", html! { code { (product.sku.as_str()) } })];
    if let Some(weight) = product.weight_grams {
        facts.push(("Weight", html! { (ui::number(weight.get().into())) " g" }));
    }
    if let Some(size) = product.dimensions_mm {
        facts.push(("Size", html! { (size.length.get()) " × " (size.width.get()) " × " (size.height.get()) " mm" }));
    }
    ui::facts(&facts)
}

/// Whether it can be bought now, in words.
pub(super) fn availability(available: i64) -> Markup {
    match available {
        ..=0 => html! { span.stock.none { "Sold out" } },
        1..FEW => html! { span.stock.few { "Only " (available) " left" } },
        _ => html! { span.stock.many { "In stock" } },
    }
}
