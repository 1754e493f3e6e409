//! The grid of products: the first page and a category's.

use maud::{Markup, html};
use shared::catalog::products::ProductView;

use crate::page::shop::{Frame, page};
use crate::ui::goods::{self, Tile};
use crate::ui::icon::Icon;
use crate::ui::pages::pages;
use crate::ui::{button, layout, state, words};

pub struct HomePage {
    /// None on the first page.
    pub category: Option<String>,
    /// Each with the name of its category.
    pub products: Vec<(ProductView, String)>,
    pub before: Option<String>,
    pub after: Option<String>,
}

pub fn render(frame: &Frame, shown: &HomePage) -> Markup {
    let heading = shown.category.as_deref().unwrap_or("Good things for a kitchen that is used");
    let text = match &shown.category {
        Some(_) => words::count(shown.products.len() as i64, "product on this page", "products on this page"),
        None => "Coffee, tea, pans, knives and linen from a mill by the water.".to_owned(),
    };
    let content = html! {
        (goods::welcome(heading, &text))
        @if shown.products.is_empty() {
            (state::empty(Icon::Product, "There is nothing in this category yet.", "", button::link(button::Weight::Plain, "/", "See all products")))
        } @else {
            (goods::grid(&shown.products.iter().map(tile).collect::<Vec<_>>()))
            (pages("", shown.before.as_deref(), shown.after.as_deref()))
        }
    };
    page(frame, heading, content)
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
