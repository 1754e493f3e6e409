//! The people who order.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use shared::customers::{self, ChangeCustomer, CustomerFilter, CustomerView};
use shared::error::{Error, Result};
use shared::identity::users;
use shared::orders::OrderView;
use shared::orders::read::{self, OrderFilter};
use shared::page::Page;
use shared::principal::Permission;
use shared::values::CustomerId;

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::Field;
use crate::ui::list::{Row, column, filters, numbers, pager, table};
use crate::ui::money::money;
use crate::ui::{self, notice, status, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default()
        .page("/console/customers", list, reads(Permission::CustomersRead))
        .page("/console/customers/{id}", show, reads(Permission::CustomersRead))
        .form("/console/customers/{id}", save, changes(Permission::CustomersWrite))
        .form("/console/customers/{id}/account", link_account, changes(Permission::CustomersWrite))
}

async fn list(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let filter = filter(&asked)?;
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let found = customers::list(&mut *web.db.acquire().await?, &filter, &page).await?;
    let columns = [column("Name"), column("E-mail"), column("Account"), column("Since")];
    let rows: Vec<Row> = found
        .data
        .iter()
        .map(|customer| Row {
            link: Some(format!("/console/customers/{}", customer.id)),
            cells: vec![
                html! { (customer.name.as_str()) },
                html! { (customer.email.as_str()) },
                html! { (if customer.user_id.is_some() { "signs in" } else { "none" }) },
                time::ago(&visit, customer.created_at),
            ],
        })
        .collect();
    let content = html! {
        (ui::head("Customers", html! {}))
        (filters(&visit, &asked, search_field(&asked)))
        (ui::live("customers", html! {
            @if rows.is_empty() { (ui::empty("No such customer", html! { p { "Everybody who registers is a customer." } })) }
            @else { (table("Customers", &columns, &rows)) (pager(&visit, found.next_cursor.as_deref())) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Customers", content).await?)
}

fn filter(asked: &Fields) -> Result<CustomerFilter> {
    Ok(CustomerFilter { email: None, q: asked.optional("q")? })
}

fn search_field(asked: &Fields) -> Markup {
    Field::text("q", "Name or e-mail").optional().max(100).sent(asked).show()
}

async fn show(State(web): State<WebState>, visit: Visit, InPath(id): InPath<CustomerId>) -> PageResult {
    Ok(page(&web, &visit, id, None).await?)
}

async fn page(web: &WebState, visit: &Visit, id: CustomerId, problem: Option<&str>) -> Result<Markup> {
    let mut conn = web.db.acquire().await?;
    let customer = customers::get(&mut conn, id).await?;
    let filter = OrderFilter { customer_id: Some(id), ..OrderFilter::default() };
    let orders = read::list(&mut conn, visit.principal()?, filter, Page::parse(Some(20), None, "")?).await?;
    drop(conn);
    let content = html! {
        (ui::head_with(customer.name.as_str(), html! { (customer.email.as_str()) (ui::copy(customer.email.as_str())) }, html! {
            @if visit.may(Permission::OrdersWrite) { (action::link(&format!("/console/customers/{id}/order"), "Place an order", Emphasis::Primary)) }
        }))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        div.two {
            div { (ui::live("orders", ui::block("Orders", orders_table(visit, &orders.data, id)))) }
            aside { (about(visit, &customer)) }
        }
    };
    shell::live_page(web, visit, customer.name.as_str(), content).await
}

fn orders_table(visit: &Visit, orders: &[OrderView], id: CustomerId) -> Markup {
    let columns = [column("Order"), column("Status"), numbers("Total"), column("Placed")];
    let rows: Vec<Row> = orders
        .iter()
        .map(|order| Row {
            link: Some(format!("/console/orders/{}", order.number)),
            cells: vec![
                html! { (order.number) },
                status::order(order.status),
                html! { (money(order.total)) },
                time::ago(visit, order.created_at),
            ],
        })
        .collect();
    html! {
        @if rows.is_empty() { p.quiet { "They have not ordered yet." } }
        @else { (table("Orders", &columns, &rows)) p { a href={ "/console/orders?customer_id=" (id) } { "All their orders" } } }
    }
}

fn about(visit: &Visit, customer: &CustomerView) -> Markup {
    html! {
        (ui::block("About them", ui::facts(&[
            ("Phone", html! { (customer.phone.as_ref().map_or("none", |phone| phone.as_str())) }),
            ("Account", html! { (if customer.user_id.is_some() { "They sign in" } else { "They have none" }) }),
            ("Since", time::both(visit, customer.created_at)),
            ("Id", ui::id(customer.id)),
        ])))
        @if visit.may(Permission::CustomersWrite) {
            (account(customer))
            (action::ask("Change", Emphasis::Plain, action::form(&format!("/console/customers/{}", customer.id), "Save", Emphasis::Primary, html! {
                (action::hidden(&[("version", &customer.version.to_string())]))
                (Field::text("name", "Name").value(customer.name.as_str()).show())
                (Field::text("email", "E-mail").kind("email").max(254).value(customer.email.as_str()).show())
                (Field::text("phone", "Phone").optional().max(40).value(customer.phone.as_ref().map_or("", |phone| phone.as_str())).show())
            })))
        }
    }
}

/// The account that sees the orders of this customer.
fn account(customer: &CustomerView) -> Markup {
    let path = format!("/console/customers/{}/account", customer.id);
    let version = customer.version.to_string();
    action::ask(
        "Link an account",
        Emphasis::Plain,
        action::form(
            &path,
            "Link it",
            Emphasis::Primary,
            html! {
                p { "Who signs in with it then sees the orders of this customer. Make sure that it is the same person: anybody can make an account with any address." }
                (action::hidden(&[("version", &version)]))
                (Field::text("account", "E-mail of the account").kind("email").max(254).show())
            },
        ),
    )
}

async fn link_account(
    State(web): State<WebState>,
    InPath(id): InPath<CustomerId>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let user_id = users::id_of_email(&mut once.tx, &once.fields.value("account")?).await?;
        let user_id = user_id
            .ok_or_else(|| Error::field("account", "user_not_found", "there is no account with this address"))?;
        let change = ChangeCustomer { user_id: Some(Some(user_id)), ..ChangeCustomer::default() };
        let seen = once.fields.optional("version")?;
        customers::change(&mut once.tx, once.visit.principal()?, id, seen, &change).await
    };
    match done.await {
        Ok(_) => once.leave(&and_say(&format!("/console/customers/{id}"), "changed")).await,
        Err(error) => {
            let page = page(&web, &once.visit, id, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

async fn save(State(web): State<WebState>, InPath(id): InPath<CustomerId>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let change = ChangeCustomer {
            email: Some(once.fields.value("email")?),
            name: Some(once.fields.value("name")?),
            phone: Some(once.fields.optional("phone")?),
            addresses: None,
            user_id: None,
        };
        let seen = once.fields.optional("version")?;
        customers::change(&mut once.tx, once.visit.principal()?, id, seen, &change).await
    };
    match done.await {
        Ok(_) => once.leave(&and_say(&format!("/console/customers/{id}"), "changed")).await,
        Err(error) => {
            let page = page(&web, &once.visit, id, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}
