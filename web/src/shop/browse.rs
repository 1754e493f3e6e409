//! Looking around: the front page, a category, a search.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use maud::{Markup, html};
use shared::catalog::categories::{self, CategoryView};
use shared::catalog::products::{self, ProductFilter, ProductView};
use shared::error::{Error, Resource, Result};
use shared::page::{List, MAX_LIMIT, Page};
use shared::values::CategoryId;
use shared::values::search::Search;
use sqlx::PgConnection;

use super::shell::show;
use crate::WebState;
use crate::form::Fields;
use crate::path::InPath;
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, Rule, Site, Visitors};
use crate::ui::list::{pager, segment};
use crate::ui::money::money;
use crate::ui::{self, picture};
use crate::visit::Visit;

/// Products on a page of the shop: whole rows of two, three and four.
const ON_A_PAGE: i64 = 24;
/// Products of each part, on the page of a category that has parts.
const OF_EACH_PART: i64 = 4;

pub fn routes() -> PageRoutes {
    let read = Rule::read(Site::Shop, Visitors::Anyone);
    PageRoutes::default().page("/", front, read).page("/c/{category}", category, read).page("/search", search, read)
}

async fn front(State(web): State<WebState>, visit: Visit, headers: HeaderMap, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let mut conn = web.db.acquire().await?;
    let tree = tree(&mut conn).await?;
    let found = find(&mut conn, &visit, ProductFilter::default(), asked.given("cursor"), ON_A_PAGE).await?;
    let content = html! {
        @if asked.given("cursor").is_none() {
            div.hero {
                h1 { "Coffee, tea, and what to make them with" }
                p.lead { "Everything here is in stock, or it says so." }
            }
        } @else { h1 { "All products" } }
        (categories_of(&tree, None))
        (grid(&visit, &found))
    };
    Ok(show(&visit, &headers, "Shop", &content))
}

async fn category(
    State(web): State<WebState>,
    visit: Visit,
    headers: HeaderMap,
    InPath(slug): InPath<String>,
    RawQuery(raw): RawQuery,
) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let mut conn = web.db.acquire().await?;
    let tree = tree(&mut conn).await?;
    let this = tree.iter().find(|category| slug_of(category) == slug).ok_or(Error::NotFound(Resource::Category))?;
    let own = ProductFilter { category_id: Some(this.id), ..ProductFilter::default() };
    let found = find(&mut conn, &visit, own, asked.given("cursor"), ON_A_PAGE).await?;
    let mut parts = Vec::new();
    for part in tree.iter().filter(|part| part.parent_id == Some(this.id)) {
        let of_part = ProductFilter { category_id: Some(part.id), ..ProductFilter::default() };
        parts.push((part, find(&mut conn, &visit, of_part, None, OF_EACH_PART).await?));
    }
    let content = html! {
        (trail(&tree, this))
        h1 { (this.name.as_str()) }
        (categories_of(&tree, Some(this.id)))
        @for (part, products) in &parts {
            @if !products.data.is_empty() {
                section { h2 { a href=(link(part)) { (part.name.as_str()) } } (cards(&products.data)) }
            }
        }
        @if !found.data.is_empty() || parts.is_empty() { (grid(&visit, &found)) }
    };
    Ok(show(&visit, &headers, this.name.as_str(), &content))
}

async fn search(State(web): State<WebState>, visit: Visit, headers: HeaderMap, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let typed: String = asked.text("q").chars().take(Search::MAX_CHARACTERS).collect();
    let mut conn = web.db.acquire().await?;
    let q = Search::try_from(typed.clone()).map_err(|invalid| Error::InvalidFields(vec![invalid.at("q")]))?;
    let filter = ProductFilter { q: Some(q), ..ProductFilter::default() };
    let found = find(&mut conn, &visit, filter, asked.given("cursor"), ON_A_PAGE).await?;
    let content = html! {
        h1 { "Search" @if !typed.is_empty() { ": " (typed) } }
        @if found.data.is_empty() {
            (ui::empty("Nothing here has that in its name", html! {
                p { "Try fewer letters, or look through the categories." }
                (categories_of(&tree(&mut conn).await?, None))
            }))
        } @else { (grid(&visit, &found)) }
    };
    Ok(show(&visit, &headers, "Search", &content))
}

async fn find(
    conn: &mut PgConnection,
    visit: &Visit,
    filter: ProductFilter,
    cursor: Option<&str>,
    limit: i64,
) -> Result<List<ProductView>> {
    // Nobody sees products that are not sold here, whoever they are.
    let page = Page::parse(Some(limit), cursor, visit.path())?;
    products::list(conn, None, &filter, &page).await
}

async fn tree(conn: &mut PgConnection) -> Result<Vec<CategoryView>> {
    Ok(categories::list(conn, &Page::parse(Some(MAX_LIMIT), None, "")?).await?.data)
}

/// The name of a category in an address: `beans-and-brews`.
fn slug_of(category: &CategoryView) -> String {
    let name = category.name.as_str().to_lowercase().replace('&', " and ");
    let words = name.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

fn link(category: &CategoryView) -> String {
    format!("/c/{}", segment(&slug_of(category)))
}

fn categories_of(tree: &[CategoryView], parent: Option<CategoryId>) -> Markup {
    let below: Vec<&CategoryView> = tree.iter().filter(|category| category.parent_id == parent).collect();
    html! {
        @if !below.is_empty() {
            nav.categories aria-label="Categories" {
                @for category in below { a href=(link(category)) { (category.name.as_str()) } }
            }
        }
    }
}

/// Where a category stands in the tree.
fn trail(tree: &[CategoryView], this: &CategoryView) -> Markup {
    let above = this.parent_id.and_then(|id| tree.iter().find(|category| category.id == id));
    html! {
        nav.trail aria-label="Where you are" {
            a href="/" { "Shop" }
            @if let Some(above) = above { " / " a href=(link(above)) { (above.name.as_str()) } }
        }
    }
}

fn grid(visit: &Visit, found: &List<ProductView>) -> Markup {
    html! { (cards(&found.data)) (pager(visit, found.next_cursor.as_deref())) }
}

fn cards(products: &[ProductView]) -> Markup {
    html! { ul.products { @for product in products { li { (card(product)) } } } }
}

fn card(product: &ProductView) -> Markup {
    html! {
        a.product href={ "/p/" (segment(product.sku.as_str())) } {
            (picture::product(product.sku.as_str(), product.name.as_str(), false))
            span.name { (product.name.as_str()) }
            span.price { (money(product.price)) }
            (super::product::availability(product.available))
        }
    }
}
