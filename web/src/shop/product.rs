//! The page of a product: what it is, what it costs, whether it can be had, and the one button.

use axum::extract::Path;
use maud::{Markup, html};
use shared::catalog::products::{self, Dimensions, ProductFilter, ProductView};
use shared::error::{Error, Resource};
use shared::page::Page;
use uuid::Uuid;

use super::frame::{category_names, frame, with_categories};
use crate::answer::PageResult;
use crate::page::shop::{ShopFrame, page};
use crate::ui::button::{self, Weight};
use crate::ui::form::{self, Field};
use crate::ui::goods::{self, Tile};
use crate::ui::icon::Icon;
use crate::ui::{facts, layout, words};
use crate::visit::Visit;

pub struct ProductPage {
    pub product: ProductView,
    pub category: String,
    pub category_href: String,
    /// Others of the category, each with its category.
    pub related: Vec<(ProductView, String)>,
    pub key: Uuid,
}

/// More of one product in one go is asked for in the cart.
const MOST_AT_ONCE: i64 = 9;

pub fn render(frame: &ShopFrame, shown: &ProductPage) -> Markup {
    let product = &shown.product;
    let content = html! {
        @if shown.category.is_empty() {
            (goods::crumbs(&[("/", "Shop")]))
        } @else {
            (goods::crumbs(&[("/", "Shop"), (&shown.category_href, &shown.category)]))
        }
        (goods::product(product.sku.as_str(), &shown.category, buy(shown)))
        @if !shown.related.is_empty() {
            (row(&format!("More from {}", shown.category), &shown.related, layout::more(&shown.category_href, "See all")))
        }
    };
    page(frame, product.name.as_str(), content)
}

fn buy(shown: &ProductPage) -> Markup {
    let product = &shown.product;
    html! {
        (goods::name(product.name.as_str()))
        (goods::price(product.price))
        (layout::prose(product.description.as_str()))
        (goods::availability(product.available))
        @if product.available > 0 { (cart_form(shown)) } @else { (layout::remark("We do not know yet when it comes back.")) }
        (facts::facts(&measures(product)))
    }
}

fn cart_form(shown: &ProductPage) -> Markup {
    let most = shown.product.available.min(MOST_AT_ONCE);
    let numbers: Vec<String> = (1..=most).map(|number| number.to_string()).collect();
    let options: Vec<(&str, &str)> = numbers.iter().map(|number| (number.as_str(), number.as_str())).collect();
    let quantity = Field { name: "quantity", label: "Quantity", value: "1", ..Field::default() };
    let sku = html! { input type="hidden" name="sku" value=(shown.product.sku.as_str()); };
    form::one_line(
        "/cart",
        shown.key,
        html! { (form::select(&quantity, &options)) (sku) },
        button::submit_with(Weight::Main, Icon::Cart, "Add to cart"),
    )
}

fn measures(product: &ProductView) -> Vec<(&'static str, Markup)> {
    let mut pairs = vec![("SKU", layout::code(product.sku.as_str()))];
    if let Some(weight) = product.weight_grams {
        pairs.push(("Weight", html! { (weight_text(weight.get())) }));
    }
    if let Some(size) = product.dimensions_mm {
        pairs.push(("Size", html! { (size_text(size)) }));
    }
    pairs.push(("Delivery", html! { "Leaves the warehouse as soon as it is paid" }));
    pairs.push(("Returns", html! { "Cancel until it is shipped; the money goes back" }));
    pairs
}

fn weight_text(grams: i32) -> String {
    if grams < 1_000 { format!("{grams} g") } else { format!("{}.{} kg", grams / 1_000, grams % 1_000 / 100) }
}

fn size_text(size: Dimensions) -> String {
    let centimetres = |mm: i32| if mm % 10 == 0 { (mm / 10).to_string() } else { format!("{}.{}", mm / 10, mm % 10) };
    let [length, width, height] = [size.length, size.width, size.height].map(|side| centimetres(side.get()));
    format!("{length} × {width} × {height} cm")
}

/// What a search says when it found nothing.
pub fn not_found(query: &str, categories: &[(String, i64)]) -> Markup {
    html! {
        (goods::welcome(&format!("Nothing is called “{query}”"), "Perhaps it is in one of these."))
        (button::row(&categories.iter().map(|(name, products)| {
            button::link(Weight::Plain, &format!("/c/{}", words::segment(name)), &format!("{name} ({})", words::grouped(*products)))
        }).collect::<Vec<_>>()))
    }
}

/// A product as a tile of a grid.
pub fn tile((product, category): &(ProductView, String)) -> Tile<'_> {
    Tile {
        sku: product.sku.as_str(),
        name: product.name.as_str(),
        category,
        price: product.price,
        available: product.available,
    }
}

/// A row of products under a heading.
pub fn row(heading: &str, products: &[(ProductView, String)], more: Markup) -> Markup {
    layout::section("more", heading, more, goods::row(&products.iter().map(tile).collect::<Vec<_>>()))
}

/// Others of the category, one more than are shown: this product is one of them.
const RELATED: i64 = 5;

pub async fn product(visit: Visit, Path(sku): Path<String>) -> PageResult {
    let mut conn = visit.connection().await?;
    let found = products::by_skus(&mut conn, &[&sku]).await?.pop().filter(|product| product.active);
    let product = found.ok_or(Error::NotFound(Resource::Product))?;
    let related = match product.category_id {
        Some(id) => {
            let filter = ProductFilter::sold(Some(id), None)?;
            products::list(&mut conn, None, &filter, &Page::parse(Some(RELATED), None, "")?).await?.data
        }
        None => Vec::new(),
    };
    drop(conn);
    let names = category_names(&visit).await?;
    let category = product.category_id.and_then(|id| names.get(&id)).cloned().unwrap_or_default();
    let others = related.into_iter().filter(|other| other.id != product.id).take(4).collect();
    let shown = ProductPage {
        category_href: format!("/c/{}", words::segment(&category)),
        category,
        related: with_categories(&visit, others).await?,
        product,
        key: Uuid::now_v7(),
    };
    Ok(visit.page(render(&frame(&visit).await?, &shown)))
}
