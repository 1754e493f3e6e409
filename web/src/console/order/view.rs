//! The markup of the page of an order.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use shared::orders::status::Status;
use shared::orders::{OrderItem, OrderView};

use super::shown::{OrderPage, address};
use super::{history, next, rail, work};
use crate::page::console::{ConsoleFrame, Screen, page};
use crate::reader::Reader;
use crate::ui::banner::{self, Banner};
use crate::ui::button::{self, Weight};
use crate::ui::icon::Icon;
use crate::ui::stepper::{Stage, Step, stepper};
use crate::ui::table::{self, CellPlace, Table};
use crate::ui::{Tone, copy, layout, money, picture, rows, status, time, words};

pub fn render(frame: &ConsoleFrame, shown: &OrderPage) -> Markup {
    let reader = &frame.reader;
    let order = &shown.order;
    let content = html! {
        (title(reader, shown))
        @if let Some(moment) = shown.as_of { (past(reader, shown, moment)) } @else { (next::card(reader, shown)) }
        (progress(reader, shown))
        (layout::with_rail(
            html! {
                (items(frame, shown))
                (work::payment(reader, shown))
                (work::shipments(reader, shown))
                (work::allocation(reader, shown))
                (work::jobs(frame, shown))
                (history::timeline(reader, shown))
            },
            rail::rail(frame, shown),
        ))
    };
    page(frame, Screen::Orders, &order.number, content)
}

fn title(reader: &Reader, shown: &OrderPage) -> Markup {
    let order = &shown.order;
    let (tone, sign, word) = status::order(order.status);
    let base = address(order);
    html! {
        (layout::title(
            &order.number,
            html! { (status::badge(tone, sign, word)) (copy::button("order number", &order.number)) },
            html! {
                @if shown.has_past { (button::link_with(Weight::Light, &format!("{base}?as_of="), Icon::Clock, "As of…")) }
                @if shown.has_slip { (button::link_with(Weight::Light, &format!("{base}/slip"), Icon::Printer, "Print slip")) }
                @if shown.newer.is_some() || shown.older.is_some() {
                    (button::icon_link(shown.newer.as_deref(), Icon::Left, "Newer order"))
                    (button::icon_link(shown.older.as_deref(), Icon::Right, "Older order"))
                }
            },
        ))
        (layout::subtitle(html! {
            @if let Some(customer) = &order.customer { (customer.name) " · " }
            "placed " (time::with_ago(reader, order.created_at)) " · "
            (words::count(units(order), "unit", "units")) " · " (money::money(order.total))
        }))
    }
}

fn past(reader: &Reader, shown: &OrderPage, moment: DateTime<Utc>) -> Markup {
    let text = format!(
        "The past: this is {} as of {}. Nothing can be changed here.",
        shown.order.number,
        time::text(reader, moment)
    );
    let link = Some((address(&shown.order), "Show it as it is now".to_owned()));
    banner::banners(&[Banner { tone: Tone::Info, text, link }])
}

/// Placed, paid, shipped, delivered: when, or what it stands still for.
fn progress(reader: &Reader, shown: &OrderPage) -> Markup {
    let order = &shown.order;
    let when = |kind: &str| shown.events.iter().find(|event| event.r#type == kind).map(|event| event.at);
    let done = match order.status {
        Status::Pending | Status::Processing => 1,
        Status::Paid => 2,
        Status::Shipped => 3,
        Status::Delivered => 4,
        Status::Cancelling | Status::Cancelled => {
            1 + ["paid", "shipped"].iter().filter(|kind| when(kind).is_some()).count()
        }
    };
    let stuck = next::waits_for_staff(order);
    let kinds = [("Placed", "placed"), ("Paid", "paid"), ("Shipped", "shipped"), ("Delivered", "delivered")];
    let over = matches!(order.status, Status::Cancelling | Status::Cancelled);
    let mut steps: Vec<Step> = kinds
        .into_iter()
        .enumerate()
        .filter(|(place, _)| !over || *place < done)
        .map(|(place, (name, kind))| Step {
            name,
            stage: stage(place, done, stuck),
            note: match when(kind) {
                Some(at) => time::exact(reader, at),
                None if place == done && stuck => html! { "Waits for you" },
                None if place == done => html! { "Next" },
                None => html! {},
            },
        })
        .collect();
    if over {
        let ended = order.status == Status::Cancelled;
        steps.push(Step {
            name: if ended { "Cancelled" } else { "Cancelling" },
            stage: if ended { Stage::Ended } else { stage(done, done, stuck) },
            note: time::exact(reader, order.updated_at),
        });
    }
    stepper("How far the order is", &steps)
}

fn stage(place: usize, done: usize, stuck: bool) -> Stage {
    match place.cmp(&done) {
        std::cmp::Ordering::Less => Stage::Done,
        std::cmp::Ordering::Equal if stuck => Stage::Stuck,
        std::cmp::Ordering::Equal => Stage::Now,
        std::cmp::Ordering::Greater => Stage::Next,
    }
}

fn items(frame: &ConsoleFrame, shown: &OrderPage) -> Markup {
    let order = &shown.order;
    let columns = vec![
        table::text("Item", CellPlace::Title),
        table::number("Price", CellPlace::Meta),
        table::number("Quantity", CellPlace::Meta),
        table::number("Total", CellPlace::End),
    ];
    let lines = order.items.iter().map(|item| item_row(frame, shown, item).into()).collect();
    let mut items = Table::new("Items as they were bought", columns, lines);
    items.foot = Some(vec![
        html! { "Total" },
        html! {},
        html! { (units(order)) },
        html! { strong { (money::with_code(order.total)) } },
    ]);
    layout::section("items", "Items", layout::quiet(html! { "names and prices as bought" }), table::table(items))
}

fn item_row(frame: &ConsoleFrame, shown: &OrderPage, item: &OrderItem) -> Vec<Markup> {
    let sku = item.sku.as_str();
    let category = shown.categories.get(sku).map_or("", String::as_str);
    let name = table::two_lines(
        frame.link(Screen::Products, &format!("/console/products/{}", words::segment(sku)), &item.name),
        layout::code(sku),
    );
    vec![
        rows::pictured(picture::thumbnail(sku, category), name, html! {}),
        money::money(item.unit_price),
        html! { span { "× " (item.quantity) } },
        money::money(item.total),
    ]
}

fn units(order: &OrderView) -> i64 {
    order.items.iter().map(|item| i64::from(item.quantity)).sum()
}
