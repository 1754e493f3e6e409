//! The orders of the person who is signed in.

use maud::{Markup, html};
use shared::orders::OrderView;
use shared::orders::read::{self, OrderFilter};
use shared::page::Page;

use super::frame::frame;
use super::track;
use crate::answer::PageResult;
use crate::page::shop::{ShopFrame, page};
use crate::reader::Reader;
use crate::ui::pages::pages;
use crate::ui::table::{self, CellPlace, Table};
use crate::ui::{layout, money, status, time, words};
use crate::visit::Visit;

pub struct OwnOrdersPage {
    pub orders: Vec<OrderView>,
    pub newer: Option<String>,
    pub older: Option<String>,
}

const PAGE: i64 = 20;

pub async fn orders(visit: Visit) -> PageResult {
    let cursor = visit.query("cursor");
    let asked = Page::parse(Some(PAGE), cursor.as_deref(), "own")?;
    let mut conn = visit.connection().await?;
    let found = read::list(&mut conn, visit.caller()?, OrderFilter::default(), asked).await?;
    drop(conn);
    let shown = OwnOrdersPage {
        orders: found.data,
        newer: cursor.map(|_| "/orders".to_owned()),
        older: found.next_cursor.map(|next| format!("/orders?cursor={next}")),
    };
    Ok(visit.page(render(&frame(&visit).await?, &shown)))
}

pub fn render(frame: &ShopFrame, shown: &OwnOrdersPage) -> Markup {
    let content = html! {
        (layout::title("Your orders", html! {}, html! {}))
        @if shown.orders.is_empty() { (track::none_yet()) } @else { (list(&frame.reader, shown)) }
    };
    page(frame, "Your orders", content)
}

fn list(reader: &Reader, shown: &OwnOrdersPage) -> Markup {
    let columns = vec![
        table::text("Order", CellPlace::Title),
        table::text("Placed", CellPlace::Meta),
        table::text("What", CellPlace::Meta),
        table::text("Status", CellPlace::Meta),
        table::number("Total", CellPlace::End),
    ];
    let rows = shown.orders.iter().map(|order| row(reader, order).into()).collect();
    let mut orders = Table::new("Your orders, newest first", columns, rows);
    orders.list = true;
    let label = words::count(shown.orders.len() as i64, "order on this page", "orders on this page");
    html! {
        (table::table(orders))
        @if shown.newer.is_some() || shown.older.is_some() {
            (pages(&label, shown.newer.as_deref(), shown.older.as_deref()))
        }
    }
}

fn row(reader: &Reader, order: &OrderView) -> Vec<Markup> {
    let first = order.items.first().map_or("", |item| item.name.as_str());
    let others = order.items.len().saturating_sub(1);
    vec![
        layout::number_link(&format!("/orders/{}", order.number), &order.number),
        time::with_ago(reader, order.created_at),
        html! { (layout::clip(first)) @if others > 0 { " " (layout::quiet(html! { "and " (words::count(others as i64, "other", "others")) })) } },
        status::of(status::order(order.status)),
        money::money(order.total),
    ]
}
