//! The grid of products: the first page and a category's.

use axum::extract::Path;
use maud::{Markup, html};
use shared::catalog::products::{self, ProductFilter, ProductView};
use shared::error::{Error, Resource};
use shared::page::Page;
use shared::values::CategoryId;

use super::frame::{frame, with_categories};
use super::product;
use crate::answer::PageResult;
use crate::page::shop::{ShopFrame, page};
use crate::ui::goods;
use crate::ui::icon::Icon;
use crate::ui::pages::steps;
use crate::ui::{button, state, words};
use crate::visit::Visit;

pub struct HomePage {
    /// None on the first page.
    pub category: Option<String>,
    /// What was searched for.
    pub search: Option<String>,
    /// Each with the name of its category.
    pub products: Vec<(ProductView, String)>,
    pub before: Option<String>,
    pub after: Option<String>,
}

pub fn render(frame: &ShopFrame, shown: &HomePage) -> Markup {
    let found = shown.search.as_ref().map(|q| format!("Results for “{q}”"));
    let heading = found.as_deref().or(shown.category.as_deref()).unwrap_or("Good things for a kitchen that is used");
    let text = match shown.category.as_ref().or(shown.search.as_ref()) {
        Some(_) => words::count(shown.products.len() as i64, "product on this page", "products on this page"),
        None => "Coffee, tea, pans, knives and linen from a mill by the water.".to_owned(),
    };
    let content = html! {
        (goods::welcome(heading, &text))
        @if shown.products.is_empty() {
            (state::empty(Icon::Product, "There is nothing in this category yet.", "", button::link(button::Weight::Plain, "/", "See all products")))
        } @else {
            (goods::grid(&shown.products.iter().map(product::tile).collect::<Vec<_>>()))
            (steps("", ("To the start", shown.before.as_deref()), ("More", shown.after.as_deref())))
        }
    };
    page(frame, heading, content)
}

/// Products of one page: a few rows of the grid.
const PAGE: i64 = 24;

pub async fn home(visit: Visit) -> PageResult {
    list(&visit, None, None, "/").await
}

pub async fn category(visit: Visit, Path(name): Path<String>) -> PageResult {
    let categories = visit.state.categories().await?;
    let found = categories.iter().find(|category| category.name.as_str() == name);
    let category = found.ok_or(Error::NotFound(Resource::Category))?;
    let path = format!("/c/{}", words::segment(&name));
    list(&visit, Some((category.id, name)), None, &path).await
}

pub async fn search(visit: Visit) -> PageResult {
    match visit.query("q") {
        Some(q) => list(&visit, None, Some(q), "/search").await,
        None => Ok(visit.see("/")),
    }
}

async fn list(visit: &Visit, category: Option<(CategoryId, String)>, q: Option<String>, path: &str) -> PageResult {
    let id = category.as_ref().map(|(id, _)| *id);
    let filter = ProductFilter::sold(id, q.as_deref())?;
    let kind = format!("{id:?} {q:?}");
    let cursor = visit.query("cursor");
    let page_asked = Page::parse(Some(PAGE), cursor.as_deref(), &kind)?;
    let mut conn = visit.connection().await?;
    let found = products::list(&mut conn, None, &filter, &page_asked).await?;
    drop(conn);
    let mut frame = frame(visit).await?;
    frame.here = category.as_ref().map(|(_, name)| name.clone());
    frame.search = q.clone().unwrap_or_default();
    if let Some(q) = q.as_deref().filter(|_| found.data.is_empty()) {
        let named: Vec<(String, i64)> =
            frame.categories.iter().map(|category| (category.name.clone(), category.products)).collect();
        return Ok(visit.page(page(&frame, "Nothing found", product::not_found(q, &named))));
    }
    let query = q.as_deref().map_or_else(String::new, |q| format!("q={}&", words::segment(q)));
    let start = || format!("{path}?{}", query.trim_end_matches('&')).trim_end_matches('?').to_owned();
    let shown = HomePage {
        category: category.map(|(_, name)| name),
        search: q,
        products: with_categories(visit, found.data).await?,
        before: cursor.map(|_| start()),
        after: found.next_cursor.map(|next| format!("{path}?{query}cursor={next}")),
    };
    Ok(visit.page(render(&frame, &shown)))
}
