//! All orders: tabs by status, filters, a dense table with what each waits for.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeZone as _, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};
use shared::error::{Error, Result};
use shared::orders::read::{self, OrderFilter};
use shared::orders::status::Status;
use shared::orders::{OrderView, Who};
use shared::page::Page;
use shared::values::CustomerId;
use uuid::Uuid;

use super::frame::{frame, warehouse_names};
use crate::answer::PageResult;
use crate::page::console::{ConsoleFrame, Screen, page};
use crate::reader::Reader;
use crate::ui::button::{self, Weight};
use crate::ui::form::{self, Field};
use crate::ui::icon::Icon;
use crate::ui::pages::pages;
use crate::ui::table::{self, CellPlace, Row, Table};
use crate::ui::tabs::{Tab, tabs};
use crate::ui::words::{self, Bounded};
use crate::ui::{Tone, layout, money, state, status, time};
use crate::visit::Visit;

pub struct OrdersPage {
    pub orders: Vec<OrderView>,
    /// Bounded counts by status; the one of all orders has none.
    pub counts: Vec<(Option<Status>, Option<Bounded>)>,
    pub filter: OrdersShown,
    /// The query of this page without status and cursor, such as `&sku=MUG-STONE-350`.
    pub query: String,
    pub warehouses: BTreeMap<Uuid, String>,
    pub newer: Option<String>,
    pub older: Option<String>,
    /// Whether the shop has any order at all.
    pub any: bool,
    /// What this process offers beyond status and dates.
    pub offers: Offers,
}

/// What a list of orders can do beyond filtering by status and dates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offers {
    pub csv: bool,
    pub placing: bool,
    /// Number, SKU, payment, next action, warehouse.
    pub filters: bool,
    pub selection: bool,
}

/// The filters as they were typed.
#[derive(Debug, Clone, Default)]
pub struct OrdersShown {
    pub status: Option<Status>,
    pub search: String,
    pub sku: String,
    pub payment: String,
    pub next_by: String,
    pub warehouse: String,
    pub from: String,
    pub to: String,
    /// The id of the customer whose orders these are.
    pub customer: String,
}

impl OrdersShown {
    fn is_empty(&self) -> bool {
        let Self { status: _, search, sku, payment, next_by, warehouse, from, to, customer } = self;
        [search, sku, payment, next_by, warehouse, from, to, customer].iter().all(|text| text.is_empty())
    }
}

pub fn render(frame: &ConsoleFrame, shown: &OrdersPage) -> Markup {
    let content = html! {
        (layout::title("Orders", html! {}, html! {
            @if shown.offers.csv {
                (button::link(Weight::Light, &format!("/console/orders.csv?{}", shown.query.trim_start_matches('&')), "Download CSV"))
            }
            @if shown.offers.placing { (button::link(Weight::Plain, "/console/orders/new", "Place an order")) }
        }))
        (status_tabs(shown))
        (filters(shown))
        @if shown.orders.is_empty() { (nothing(shown)) } @else { (list(&frame.reader, shown)) }
    };
    page(frame, Screen::Orders, "Orders", content)
}

fn status_tabs(shown: &OrdersPage) -> Markup {
    let hrefs: Vec<String> = shown
        .counts
        .iter()
        .map(|(status, _)| match status {
            Some(status) => format!("/console/orders?status={}{}", status.name(), shown.query),
            None => format!("/console/orders?{}", shown.query.trim_start_matches('&')),
        })
        .collect();
    let all: Vec<Tab<'_>> = shown
        .counts
        .iter()
        .zip(&hrefs)
        .map(|((status, count), href)| Tab {
            href,
            words: status.map_or("All", |status| status::order(status).2),
            count: *count,
            here: *status == shown.filter.status,
        })
        .collect();
    tabs("Orders by status", &all)
}

fn filters(shown: &OrdersPage) -> Markup {
    let filter = &shown.filter;
    let quiet = |name, label, value, placeholder| Field {
        name,
        label,
        value,
        placeholder: Some(placeholder),
        quiet_label: true,
        ..Field::default()
    };
    let mut warehouses = vec![("", "Any warehouse")];
    let ids: Vec<(String, &String)> = shown.warehouses.iter().map(|(id, name)| (id.to_string(), name)).collect();
    warehouses.extend(ids.iter().map(|(id, name)| (id.as_str(), name.as_str())));
    let found = [
        form::field(&Field {
            kind: "search",
            ..quiet("q", "Number, e-mail or name", &filter.search, "Number, e-mail or name")
        }),
        form::field(&quiet("sku", "SKU", &filter.sku, "SKU")),
        form::select(&quiet("payment", "Payment", &filter.payment, ""), PAYMENTS),
        form::select(&quiet("next_by", "Next action by", &filter.next_by, ""), NEXT_BY),
        form::select(&quiet("warehouse_id", "Warehouse", &filter.warehouse, ""), &warehouses),
    ];
    let status =
        html! { @if let Some(status) = filter.status { input type="hidden" name="status" value=(status.name()); } };
    let date = |name, label, value| form::field(&Field { name, label, value, kind: "date", ..Field::default() });
    let dates = [date("from", "Placed from", &filter.from), date("to", "Placed before", &filter.to)];
    let customer =
        html! { @if !filter.customer.is_empty() { input type="hidden" name="customer_id" value=(filter.customer); } };
    if !shown.offers.filters {
        let clear = (!filter.is_empty()).then_some("/console/orders");
        let [from, to] = dates;
        return form::filters("/console/orders", "Filter orders", &[from, to, status, customer], (&[], false), clear);
    }
    let open = !(filter.from.is_empty() && filter.to.is_empty());
    form::filters(
        "/console/orders",
        "Filter orders",
        &found,
        (&dates, open),
        (!filter.is_empty()).then_some("/console/orders"),
    )
}

const PAYMENTS: &[(&str, &str)] = &[
    ("", "Any payment"),
    ("pending", "No answer yet"),
    ("charged", "Charged"),
    ("declined", "Declined"),
    ("refunded", "Paid back"),
];

const NEXT_BY: &[(&str, &str)] =
    &[("", "Next by anybody"), ("staff", "Waits for a person"), ("worker", "Waits for a worker")];

fn nothing(shown: &OrdersPage) -> Markup {
    if shown.any {
        return state::no_match("orders", "/console/orders");
    }
    state::empty(
        Icon::Orders,
        "Nobody has ordered yet.",
        "Orders appear here as soon as the shop takes one.",
        button::link(Weight::Main, "/", "Open the shop"),
    )
}

fn list(reader: &Reader, shown: &OrdersPage) -> Markup {
    let columns = vec![
        table::text("Order", CellPlace::Title),
        table::text("Placed", CellPlace::Meta),
        table::text("Customer", CellPlace::Meta),
        table::text("Status", CellPlace::Meta),
        table::text("Next", CellPlace::Meta),
        table::number("Units", CellPlace::Wide),
        table::text("From", CellPlace::Wide),
        table::number("Total", CellPlace::End),
    ];
    let rows = shown.orders.iter().map(|order| row(reader, shown, order)).collect();
    let mut orders = Table::new("Orders, newest first", columns, rows);
    orders.list = true;
    orders.sticky = true;
    let label = words::count(shown.orders.len() as i64, "order", "orders");
    html! {
        (table::table(orders))
        (pages(&format!("{label} on this page"), shown.newer.as_deref(), shown.older.as_deref()))
    }
}

fn row(reader: &Reader, shown: &OrdersPage, order: &OrderView) -> Row {
    let units: i64 = order.items.iter().map(|item| i64::from(item.quantity)).sum();
    let customer = order.customer.as_ref().map_or("", |customer| customer.name.as_str());
    let cells = vec![
        layout::number_link(&format!("/console/orders/{}", order.number), &order.number),
        time::with_ago(reader, order.created_at),
        layout::clip(customer),
        if waits(order) {
            layout::wide_only(status::of(status::order(order.status)))
        } else {
            status::of(status::order(order.status))
        },
        next(reader, order),
        html! { (units) },
        layout::quiet(html! { (warehouses(shown, order)) }),
        money::money(order.total),
    ];
    let tone = waits(order).then_some(Tone::Warn);
    let select = shown.offers.selection.then(|| (order.id.to_string(), order.number.clone()));
    Row { cells, tone, select }
}

fn waits(order: &OrderView) -> bool {
    order.next_action.as_ref().is_some_and(|next| next.by == Who::Staff)
}

/// What comes next, by whom, and when.
fn next(reader: &Reader, order: &OrderView) -> Markup {
    match &order.next_action {
        Some(next) if next.by == Who::Staff => html! {
            (status::status(Tone::Warn, Icon::Alert, &format!("{} waits for you", words::first_upper(&next.what))))
            " " (layout::quiet(html! { (time::duration(reader.now - next.due_at)) }))
        },
        Some(next) => layout::wide_only(layout::quiet(html! {
            (words::first_upper(&next.what))
            @if next.due_at > reader.now { " " (time::ago(reader, next.due_at)) } @else { " now" }
        })),
        None => html! {},
    }
}

fn warehouses(shown: &OrdersPage, order: &OrderView) -> String {
    let names: Vec<&str> = order
        .shipments
        .iter()
        .filter_map(|shipment| shown.warehouses.get(&shipment.warehouse_id.0))
        .map(|name| name.split(',').next().unwrap_or(name))
        .collect();
    names.join(", ")
}

const PAGE: i64 = 50;

pub async fn orders(visit: Visit) -> PageResult {
    let typed = |name| visit.query(name).unwrap_or_default();
    let filter = OrdersShown {
        status: visit.query("status").and_then(|name| Status::ALL.into_iter().find(|status| status.name() == name)),
        from: typed("from"),
        to: typed("to"),
        customer: typed("customer_id"),
        ..OrdersShown::default()
    };
    let query = query_of(&filter);
    let asked = OrderFilter {
        status: filter.status,
        customer_id: customer(&filter.customer)?,
        from: midnight(&filter.from, visit.reader.zone)?,
        to: midnight(&filter.to, visit.reader.zone)?,
    };
    let cursor = visit.query("cursor");
    let kind = format!("{:?}{query}", filter.status);
    let page_asked = Page::parse(Some(PAGE), cursor.as_deref(), &kind)?;
    let mut conn = visit.connection().await?;
    let found = read::list(&mut conn, visit.caller()?, asked, page_asked).await?;
    let warehouses = warehouse_names(&mut conn).await?;
    let any = !found.data.is_empty()
        || !read::list(&mut conn, visit.caller()?, OrderFilter::default(), Page::parse(Some(1), None, "")?)
            .await?
            .data
            .is_empty();
    drop(conn);
    let status = filter.status.map_or_else(String::new, |status| format!("status={}", status.name()));
    let here = format!("/console/orders?{status}{query}");
    let shown = OrdersPage {
        orders: found.data,
        counts: [None].into_iter().chain(Status::ALL.map(Some)).map(|status| (status, None)).collect(),
        filter,
        query,
        warehouses,
        newer: cursor.map(|_| here.clone()),
        older: found.next_cursor.map(|next| format!("{here}&cursor={next}")),
        any,
        offers: Offers::default(),
    };
    Ok(visit.page(render(&frame(&visit)?, &shown)))
}

fn query_of(filter: &OrdersShown) -> String {
    let fields = [("from", &filter.from), ("to", &filter.to), ("customer_id", &filter.customer)];
    let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| format!("&{name}={}", words::segment(value))).collect()
}

fn customer(text: &str) -> Result<Option<CustomerId>> {
    let wrong = || Error::field("customer_id", "invalid_id", "this is not the id of a customer");
    (!text.is_empty()).then(|| text.parse().map_err(|_| wrong())).transpose()
}

/// The beginning of a day where the reader is.
fn midnight(text: &str, zone: Tz) -> Result<Option<DateTime<Utc>>> {
    if text.is_empty() {
        return Ok(None);
    }
    let day: Option<NaiveDate> = text.parse().ok();
    let start = day.and_then(|day| zone.from_local_datetime(&day.and_hms_opt(0, 0, 0)?).earliest());
    let start = start.ok_or_else(|| Error::field("from", "invalid_day", "a day is written like 2026-11-26"))?;
    Ok(Some(start.with_timezone(&Utc)))
}

/// The first screen of the console.
pub async fn first(visit: Visit) -> PageResult {
    Ok(visit.see("/console/orders"))
}
