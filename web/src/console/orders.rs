//! All orders: tabs by status, and the newest first. What is filtered can be cancelled, and taken along as a table.

use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use shared::error::Error;
use shared::orders::filter::ListOrder;
use shared::orders::read::{self, OrderFilter};
use shared::orders::status::Status;
use shared::orders::{OrderView, Who};
use shared::page::{List, MAX_LIMIT, Page};
use shared::principal::Permission;

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::{self, Field};
use crate::ui::list::{Row, column, filters, numbers, pager, query, table, tabs};
use crate::ui::money::{money, plain};
use crate::ui::{self, status, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let read = reads(Permission::OrdersRead);
    PageRoutes::default().page("/console/orders", list, read).page("/console/orders.csv", download, read.bulk(1024))
}

async fn list(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let filter = filter(&visit, &asked)?;
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let mut conn = web.db.acquire().await?;
    let orders = read::list(&mut conn, visit.principal()?, filter, page).await?;
    drop(conn);
    let content = html! {
        (ui::head("Orders", html! {
            @if let Some(path) = cancel_path(&visit, &asked) { (action::link(&path, "Cancel these…", Emphasis::Plain)) }
            (action::link(&format!("/console/slips?{}", asked.filter_text()), "Packing slips", Emphasis::Plain))
            (action::link(&format!("/console/orders.csv?{}", asked.filter_text()), "Download", Emphasis::Plain))
        }))
        (tabs("Status", &status_tabs(&visit, &asked)))
        (filters(&visit, &asked, filter_fields(&asked)))
        (ui::live("orders", rows(&visit, &orders)))
    };
    Ok(shell::live_page(&web, &visit, "Orders", content).await?)
}

/// Cancelling many knows these filters. With another one it would take more orders than the list shows.
fn cancel_path(visit: &Visit, asked: &Fields) -> Option<String> {
    const KNOWN: [&str; 4] = ["status", "customer_id", "from", "to"];
    let given = asked.filter_text();
    let known = form_urlencoded::parse(given.as_bytes()).all(|(name, _)| KNOWN.contains(&&*name));
    (!given.is_empty() && known && visit.may(Permission::OpsWrite))
        .then(|| format!("/console/bulk/new?action=cancel_orders&{given}"))
}

/// Rows of one download. Who needs more chooses a shorter time.
const MAX_ROWS: usize = 10_000;

/// The filtered orders as CSV, for a spreadsheet.
async fn download(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult<Response> {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let mut rows = csv::Writer::from_writer(Vec::new());
    rows.write_record(["number", "status", "customer", "e-mail", "units", "total", "currency", "placed (UTC)"])
        .map_err(Error::internal)?;
    let (mut cursor, mut written) = (None, 0);
    let mut conn = web.db.acquire().await?;
    loop {
        let page = Page::parse(Some(MAX_LIMIT), cursor.as_deref(), &asked.filter_text())?;
        let found = read::list(&mut conn, visit.principal()?, filter(&visit, &asked)?, page).await?;
        for order in &found.data {
            rows.write_record(record(order)).map_err(Error::internal)?;
        }
        written += found.data.len();
        cursor = found.next_cursor;
        if cursor.is_none() || written >= MAX_ROWS {
            break;
        }
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"orders.csv\""),
    ];
    Ok((headers, rows.into_inner().map_err(|error| Error::internal(error.into_error()))?).into_response())
}

fn record(order: &OrderView) -> [String; 8] {
    let (name, email) = order.customer.as_ref().map_or(("", ""), |customer| (&customer.name, &customer.email));
    let units: i64 = order.items.iter().map(|item| i64::from(item.quantity)).sum();
    [
        order.number.clone(),
        status::order_word(order.status).to_owned(),
        harmless(name),
        harmless(email),
        units.to_string(),
        plain(order.total),
        order.total.currency.to_string(),
        order.created_at.format("%Y-%m-%d %H:%M:%S").to_string(),
    ]
}

/// A spreadsheet takes a text that begins like this for a formula and carries it out.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

pub fn filter(visit: &Visit, asked: &Fields) -> shared::error::Result<OrderFilter> {
    Ok(OrderFilter {
        status: asked.given("status").and_then(|name| Status::ALL.into_iter().find(|status| status.name() == name)),
        customer_id: asked.optional("customer_id")?,
        from: asked.given("from").and_then(|text| time::parse(text, visit.zone)),
        to: asked.given("to").and_then(|text| time::parse(text, visit.zone)),
        number: asked.given("number").map(ToOwned::to_owned),
        email: asked.optional("email")?,
        sku: asked.optional("sku")?,
        warehouse_id: asked.optional("warehouse_id")?,
        next_by: asked.given("next_by").map(|who| if who == "staff" { Who::Staff } else { Who::Worker }),
        overdue: asked.is_on("overdue").then_some(true),
        order: asked.is_on("oldest").then_some(ListOrder::Oldest),
        ..OrderFilter::default()
    })
}

fn filter_fields(asked: &Fields) -> Markup {
    let who = [("", "Anybody"), ("staff", "A person"), ("worker", "A worker")];
    html! {
        @for kept in ["status", "customer_id", "warehouse_id"] {
            @if let Some(value) = asked.given(kept) { input type="hidden" name=(kept) value=(value); }
        }
        (Field::text("sku", "SKU").optional().max(64).sent(asked).show())
        (Field::text("email", "E-mail").kind("email").optional().max(254).sent(asked).show())
        (field::select("next_by", "Next step by", &who.map(|(value, words)| (value.to_owned(), words.to_owned())), asked.text("next_by")))
        (Field::text("from", "From").kind("date").optional().sent(asked).show())
        (Field::text("to", "Before").kind("date").optional().sent(asked).show())
        (field::tick("overdue", "Overdue", asked.is_on("overdue")))
        (field::tick("oldest", "Oldest first", asked.is_on("oldest")))
    }
}

fn status_tabs(visit: &Visit, asked: &Fields) -> Vec<(String, String, bool)> {
    let open = asked.text("status");
    let tab = |words: &str, name: Option<&'static str>| {
        (words.to_owned(), query(visit, &[("status", name), ("cursor", None)]), open == name.unwrap_or_default())
    };
    let mut tabs = vec![tab("All", None)];
    tabs.extend(Status::ALL.into_iter().map(|status| tab(status::order_word(status), Some(status.name()))));
    tabs
}

fn rows(visit: &Visit, orders: &List<OrderView>) -> Markup {
    if orders.data.is_empty() {
        return ui::empty(
            "No order here",
            html! { p { "Orders appear here as soon as somebody places one that fits." } },
        );
    }
    let columns = [
        column("Order"),
        column("Status"),
        column("Next"),
        column("Customer"),
        numbers("Units"),
        numbers("Total"),
        column("Placed"),
    ];
    let rows: Vec<Row> = orders.data.iter().map(|order| row(visit, order)).collect();
    html! { (table("Orders", &columns, &rows)) (pager(visit, orders.next_cursor.as_deref())) }
}

fn row(visit: &Visit, order: &OrderView) -> Row {
    let units: i64 = order.items.iter().map(|item| i64::from(item.quantity)).sum();
    Row {
        link: Some(format!("/console/orders/{}", order.number)),
        cells: vec![
            html! { (order.number) },
            status::order(order.status),
            next(visit, order),
            html! { (order.customer.as_ref().map_or("", |customer| customer.name.as_str())) },
            html! { (ui::number(units)) },
            html! { (money(order.total)) },
            time::ago(visit, order.created_at),
        ],
    }
}

/// What the order waits for, in a few words.
pub fn next(visit: &Visit, order: &OrderView) -> Markup {
    match &order.next_action {
        None => html! { span.quiet { "–" } },
        Some(next) if next.by == Who::Staff => html! { span.status.bad { (next.what) " waits for a person" } },
        Some(next) => html! { (next.what) " " span.quiet { (time::ago(visit, next.due_at)) } },
    }
}
