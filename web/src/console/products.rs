//! Products: finding, making and changing them.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use shared::catalog::categories::{self, CategoryView};
use shared::catalog::products::{self, ChangeProduct, NewProduct, ProductFilter, ProductView};
use shared::error::{Error, Resource, Result};
use shared::page::{MAX_LIMIT, Page};
use shared::principal::Permission;
use shared::values::search::Search;
use shared::values::{Currency, Money, Sku};
use sqlx::PgConnection;

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::{self, Field};
use crate::ui::icon::Icon;
use crate::ui::list::{Row, column, filters, numbers, pager, segment, table};
use crate::ui::money::{self, money};
use crate::ui::status::{self, Tone};
use crate::ui::{self, notice, picture};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let change = changes(Permission::CatalogWrite).changes_products();
    PageRoutes::default()
        .page("/console/products", list, reads(Permission::CatalogWrite))
        .page("/console/products/new", new_page, reads(Permission::CatalogWrite))
        .form("/console/products/new", create, change)
        .page("/console/products/{sku}", show, reads(Permission::CatalogWrite))
        .form("/console/products/{sku}", save, change)
}

async fn list(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let search =
        |text: &str| Search::try_from(text.to_owned()).map_err(|invalid| Error::InvalidFields(vec![invalid.at("q")]));
    let filter = ProductFilter {
        q: asked.given("q").map(search).transpose()?,
        category_id: asked.optional("category_id")?,
        active: Some(!asked.is_on("ended")),
        ..ProductFilter::default()
    };
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let mut conn = web.db.acquire().await?;
    let found = products::list(&mut conn, Some(visit.principal()?), &filter, &page).await?;
    let tree = tree(&mut conn).await?;
    drop(conn);
    let content = html! {
        (ui::head("Products", html! {
            (action::link("/console/categories", "Categories", Emphasis::Plain))
            (action::link("/console/products/new", "New product", Emphasis::Primary))
        }))
        (filters(&visit, &asked, html! {
            (Field::text("q", "Name or SKU").optional().max(100).sent(&asked).show())
            (field::select("category_id", "Category", &choices(&tree, "All"), asked.text("category_id")))
            (field::tick("ended", "Only what is no longer sold", asked.is_on("ended")))
        }))
        (ui::live("products", html! {
            @if found.data.is_empty() { (ui::empty("No such product", html! { p { "Make one, or clear the filter." } })) }
            @else { (rows(&found.data)) (pager(&visit, found.next_cursor.as_deref())) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Products", content).await?)
}

fn rows(found: &[ProductView]) -> Markup {
    let columns = [column("Product"), column("SKU"), numbers("Price"), numbers("Available"), column("State")];
    let rows: Vec<Row> = found
        .iter()
        .map(|product| Row {
            link: Some(address(product.sku.as_str())),
            cells: vec![
                html! { (product.name.as_str()) },
                html! { code { (product.sku.as_str()) } },
                html! { (money(product.price)) },
                html! { (ui::number(product.available)) },
                state(product),
            ],
        })
        .collect();
    table("Products", &columns, &rows)
}

fn state(product: &ProductView) -> Markup {
    match product.available {
        _ if !product.active => status::badge(Tone::Over, Icon::Cross, "No longer sold"),
        ..=0 => status::badge(Tone::Waiting, Icon::Alert, "Sold out"),
        _ => status::badge(Tone::Good, Icon::Check, "On sale"),
    }
}

fn address(sku: &str) -> String {
    format!("/console/products/{}", segment(sku))
}

async fn tree(conn: &mut PgConnection) -> Result<Vec<CategoryView>> {
    Ok(categories::list(conn, &Page::parse(Some(MAX_LIMIT), None, "")?).await?.data)
}

fn choices(tree: &[CategoryView], none: &str) -> Vec<(String, String)> {
    let mut choices = vec![(String::new(), none.to_owned())];
    choices.extend(tree.iter().map(|category| (category.id.to_string(), category.name.as_str().to_owned())));
    choices
}

async fn new_page(State(web): State<WebState>, visit: Visit) -> PageResult {
    Ok(new_form(&web, &visit, &Fields::default(), None).await?)
}

async fn new_form(web: &WebState, visit: &Visit, sent: &Fields, problem: Option<&str>) -> Result<Markup> {
    let tree = tree(&mut *web.db.acquire().await?).await?;
    let content = html! {
        (ui::head("New product", html! {}))
        (field::error(problem))
        form.stack method="post" action="/console/products/new" data-warn {
            (action::key())
            (fields(&tree, sent))
            button.button.primary { "Make the product" }
        }
    };
    shell::still_page(web, visit, "New product", content).await
}

fn fields(tree: &[CategoryView], sent: &Fields) -> Markup {
    let currency = sent.given("currency").unwrap_or("USD");
    html! {
        (Field::text("name", "Name").sent(sent).show())
        (Field::text("sku", "SKU").max(64).sent(sent).show())
        (Field::text("price", "Price").max(20).sent(sent).hint("Such as 12.50").show())
        (Field::text("currency", "Currency").max(3).value(currency).show())
        (field::select("category_id", "Category", &choices(tree, "None"), sent.text("category_id")))
        (Field::text("weight_grams", "Weight in grams").kind("number").optional().sent(sent).show())
        (field::area("description", "Description", sent.text("description"), 10_000))
    }
}

/// What the form says about a product.
struct Typed {
    price: Money,
    new: NewProduct,
}

fn read(sent: &Fields) -> Result<Typed> {
    let currency: Currency = sent.value("currency")?;
    let wrong = || Error::field("price", "invalid_amount", "a price looks like 12.50");
    let amount =
        money::parse(sent.text("price"), currency).filter(|amount| *amount <= Money::MAX_PRICE).ok_or_else(wrong)?;
    let price = Money { amount, currency };
    let new = NewProduct {
        sku: sent.value("sku")?,
        name: sent.value("name")?,
        description: sent.optional("description")?,
        price,
        category_id: sent.optional("category_id")?,
        weight_grams: sent.given("weight_grams").map(|_| sent.whole("weight_grams")).transpose()?,
        dimensions_mm: None,
        active: None,
    };
    Ok(Typed { price, new })
}

async fn create(State(web): State<WebState>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let typed = read(&once.fields)?;
        products::create(&mut once.tx, once.visit.principal()?, &typed.new).await
    };
    match done.await {
        Ok(product) => once.leave(&and_say(&address(product.sku.as_str()), "changed")).await,
        Err(error) => {
            let page = new_form(&web, &once.visit, &once.fields, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

async fn show(State(web): State<WebState>, visit: Visit, InPath(sku): InPath<String>) -> PageResult {
    Ok(page(&web, &visit, &sku, None).await?)
}

async fn find(conn: &mut PgConnection, sku: &str) -> Result<ProductView> {
    let sku: Sku = sku.parse().map_err(|_| Error::NotFound(Resource::Product))?;
    let id = products::id_of_sku(conn, &sku).await?;
    products::get(conn, id).await
}

/// What was sent and was refused stands beside what the product is now.
async fn page(web: &WebState, visit: &Visit, sku: &str, refused: Option<(&Fields, &str)>) -> Result<Markup> {
    let mut conn = web.db.acquire().await?;
    let product = find(&mut conn, sku).await?;
    let tree = tree(&mut conn).await?;
    drop(conn);
    let now = as_fields(&product);
    let content = html! {
        (ui::head_with(product.name.as_str(), html! { (state(&product)) " · " (money(product.price)) }, html! {
            (action::link(&format!("/console/stock/{}", segment(product.sku.as_str())), "Its stock", Emphasis::Plain))
            (action::link(&format!("/p/{}", segment(product.sku.as_str())), "In the shop", Emphasis::Plain))
            (sale_switch(&product))
        }))
        @if let Some((_, problem)) = refused { (notice::bad(problem)) }
        div.two {
            form.stack method="post" action=(address(product.sku.as_str())) data-warn {
                (action::key())
                (action::hidden(&[("version", &product.version.to_string())]))
                (fields(&tree, refused.map_or(&now, |(sent, _)| sent)))
                button.button.primary { "Save" }
            }
            aside {
                (picture::product(product.sku.as_str(), product.name.as_str(), false))
                @if let Some((sent, _)) = refused { (ui::block("As it is now", differences(&now, sent))) }
            }
        }
    };
    shell::still_page(web, visit, product.name.as_str(), content).await
}

fn as_fields(product: &ProductView) -> Fields {
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.append_pair("name", product.name.as_str());
    written.append_pair("sku", product.sku.as_str());
    written.append_pair("price", &money::plain(product.price));
    written.append_pair("currency", &product.price.currency.to_string());
    written.append_pair("category_id", &product.category_id.map(|id| id.to_string()).unwrap_or_default());
    written
        .append_pair("weight_grams", &product.weight_grams.map(|weight| weight.get().to_string()).unwrap_or_default());
    written.append_pair("description", product.description.as_str());
    Fields::parse(written.finish().as_bytes()).unwrap_or_default()
}

/// Field by field, where somebody else has written something else.
fn differences(now: &Fields, sent: &Fields) -> Markup {
    html! {
        dl.facts { @for (name, value) in now.iter() { @if sent.text(name) != value {
            div { dt { (name.replace('_', " ")) } dd { (if value.is_empty() { "nothing" } else { value }) } }
        } } }
    }
}

fn sale_switch(product: &ProductView) -> Markup {
    let here = address(product.sku.as_str());
    let version = product.version.to_string();
    if product.active {
        action::ask(
            "Stop selling it",
            Emphasis::Danger,
            html! {
                p { "It leaves the shop. Old orders keep it." }
                (action::button_with(&here, "Stop selling it", Emphasis::Danger, &[("active", "no"), ("version", &version)]))
            },
        )
    } else {
        action::button_with(&here, "Sell it again", Emphasis::Primary, &[("active", "yes"), ("version", &version)])
    }
}

async fn save(State(web): State<WebState>, InPath(sku): InPath<String>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let product = find(&mut once.tx, &sku).await?;
        let change = match once.fields.given("active") {
            Some(active) => switched(active == "yes"),
            None => changed(&product, &once.fields)?,
        };
        let seen = once.fields.optional("version")?;
        products::change(&mut once.tx, once.visit.principal()?, product.id, seen, &change).await
    };
    match done.await {
        Ok(product) => once.leave(&and_say(&address(product.sku.as_str()), "changed")).await,
        Err(error) => {
            let page = page(&web, &once.visit, &sku, Some((&once.fields, &words(&error)))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

fn switched(active: bool) -> ChangeProduct {
    ChangeProduct { active: Some(active), ..ChangeProduct::default() }
}

/// The form has no sizes, so they stay.
fn changed(product: &ProductView, sent: &Fields) -> Result<ChangeProduct> {
    let typed = read(sent)?;
    Ok(ChangeProduct {
        price: Some(typed.price),
        dimensions_mm: Some(product.dimensions_mm),
        ..ChangeProduct::from(typed.new)
    })
}
