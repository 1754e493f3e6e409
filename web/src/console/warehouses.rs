//! Warehouses: where the stock is, and from which of them orders take it first.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use shared::error::{Error, Resource, Result};
use shared::page::{MAX_LIMIT, Page};
use shared::principal::Permission;
use shared::warehouses::{self, ChangeWarehouse, NewWarehouse, WarehouseView};
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
use crate::ui::list::{Row, column, numbers, segment, table};
use crate::ui::status::{self, Tone};
use crate::ui::{self, notice, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let change = changes(Permission::InventoryWrite).changes_products();
    PageRoutes::default()
        .page("/console/warehouses", list, reads(Permission::InventoryRead))
        .form("/console/warehouses", create, change)
        .page("/console/warehouses/{code}", show, reads(Permission::InventoryRead))
        .form("/console/warehouses/{code}", save, change)
}

async fn list(State(web): State<WebState>, visit: Visit) -> PageResult {
    Ok(list_page(&web, &visit, &Fields::default(), None).await?)
}

/// In the order in which orders ask them.
pub(super) async fn all(conn: &mut PgConnection) -> Result<Vec<WarehouseView>> {
    let mut houses = warehouses::list(conn, &Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    houses.sort_by(|a, b| (!a.active, a.priority, a.code.as_str()).cmp(&(!b.active, b.priority, b.code.as_str())));
    Ok(houses)
}

async fn list_page(web: &WebState, visit: &Visit, sent: &Fields, problem: Option<&str>) -> Result<Markup> {
    let houses = all(&mut *web.db.acquire().await?).await?;
    let columns = [column("Code"), column("Name"), numbers("Priority"), column("State")];
    let rows: Vec<Row> = houses
        .iter()
        .map(|house| Row {
            link: Some(address(house.code.as_str())),
            cells: vec![
                html! { (house.code.as_str()) },
                html! { (house.name.as_str()) },
                html! { (house.priority) },
                state(house),
            ],
        })
        .collect();
    let content = html! {
        (ui::head_with("Warehouses", html! { (explanation(&houses)) }, html! { @if visit.may(Permission::InventoryWrite) {
            (action::ask("New warehouse", Emphasis::Primary, action::form("/console/warehouses", "Add it", Emphasis::Primary, fields(sent))))
        } }))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        @if rows.is_empty() { (ui::empty("No warehouse yet", html! { p { "Orders need one that has stock." } })) }
        @else { (table("Warehouses", &columns, &rows)) }
    };
    shell::still_page(web, visit, "Warehouses", content).await
}

/// What the priorities mean for the next order.
fn explanation(houses: &[WarehouseView]) -> String {
    let mut active = houses.iter().filter(|house| house.active).map(|house| house.code.as_str());
    match (active.next(), active.next()) {
        (None, _) => "No warehouse is active, so no order can be placed.".to_owned(),
        (Some(only), None) => format!("Every order is sent from {only}."),
        (Some(first), Some(second)) => format!(
            "The smallest priority comes first. An order is sent from {first} if everything is there, else from {second} and \
             so on. If no warehouse has all of it, several send a part each."
        ),
    }
}

fn state(house: &WarehouseView) -> Markup {
    if house.active {
        status::badge(Tone::Good, Icon::Check, "Orders take from it")
    } else {
        status::badge(Tone::Over, Icon::Cross, "Not used")
    }
}

fn fields(sent: &Fields) -> Markup {
    html! {
        (Field::text("code", "Code").max(32).hint("Short, such as EAST").sent(sent).show())
        (Field::text("name", "Name").sent(sent).show())
        (Field::text("priority", "Priority").kind("number").value("100").hint("The smallest number comes first").sent(sent).show())
    }
}

fn address(code: &str) -> String {
    format!("/console/warehouses/{}", segment(code))
}

async fn create(State(web): State<WebState>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let new = NewWarehouse {
            code: once.fields.value("code")?,
            name: once.fields.value("name")?,
            priority: once.fields.optional("priority")?,
            active: None,
        };
        warehouses::create(&mut once.tx, once.visit.principal()?, &new).await
    };
    match done.await {
        Ok(house) => once.leave(&and_say(&address(house.code.as_str()), "changed")).await,
        Err(error) => {
            let page = list_page(&web, &once.visit, &once.fields, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

async fn show(State(web): State<WebState>, visit: Visit, InPath(code): InPath<String>) -> PageResult {
    Ok(page(&web, &visit, &code, None).await?)
}

async fn find(conn: &mut PgConnection, code: &str) -> Result<WarehouseView> {
    all(conn).await?.into_iter().find(|house| house.code.as_str() == code).ok_or(Error::NotFound(Resource::Warehouse))
}

async fn page(web: &WebState, visit: &Visit, code: &str, problem: Option<&str>) -> Result<Markup> {
    let house = find(&mut *web.db.acquire().await?, code).await?;
    let content = html! {
        (ui::head_with(house.name.as_str(), html! { code { (house.code.as_str()) } " · " (state(&house)) }, html! {
            (action::link(&format!("/console/stock?warehouse_id={}", house.id), "Its stock", Emphasis::Plain))
            (action::link(&format!("/console/orders?warehouse_id={}", house.id), "Its orders", Emphasis::Plain))
        }))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        @if visit.may(Permission::InventoryWrite) {
            form.stack method="post" action=(address(house.code.as_str())) data-warn {
                (action::key())
                (action::hidden(&[("version", &house.version.to_string())]))
                (Field::text("code", "Code").max(32).value(house.code.as_str()).show())
                (Field::text("name", "Name").value(house.name.as_str()).show())
                (Field::text("priority", "Priority").kind("number").value(&house.priority.to_string()).hint("The smallest number comes first").show())
                (field::tick("active", "Orders take from it. Without this, what is reserved here is still sent from here.", house.active))
                button.button.primary { "Save" }
            }
        }
        (ui::block("About it", ui::facts(&[("Since", time::both(visit, house.created_at)), ("Id", ui::id(house.id))])))
    };
    shell::still_page(web, visit, house.name.as_str(), content).await
}

async fn save(State(web): State<WebState>, InPath(code): InPath<String>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let house = find(&mut once.tx, &code).await?;
        let change = ChangeWarehouse {
            code: Some(once.fields.value("code")?),
            name: Some(once.fields.value("name")?),
            priority: Some(once.fields.value("priority")?),
            active: Some(once.fields.is_on("active")),
        };
        let seen = once.fields.optional("version")?;
        warehouses::change(&mut once.tx, once.visit.principal()?, house.id, seen, &change).await
    };
    match done.await {
        Ok(house) => once.leave(&and_say(&address(house.code.as_str()), "changed")).await,
        Err(error) => {
            let page = page(&web, &once.visit, &code, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}
