//! Tracking an order: how far it is, what comes next in words, what was bought.

use std::collections::BTreeMap;

use axum::extract::Path;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use shared::catalog::products;
use shared::error::{Error, Result};
use shared::ops::jobs::{self, JobFilter};
use shared::orders::cancel::{self, Cancel};
use shared::orders::status::Status;
use shared::orders::{OrderItem, OrderView, Who, read};
use shared::page::{MAX_LIMIT, Page};
use uuid::Uuid;

use super::frame::{category_names, frame};
use crate::answer::{DoneNotice, PageResult};
use crate::form::{Form, reason};
use crate::page::shop::{ShopFrame, page};
use crate::reader::Reader;
use crate::ui::banner::Flash;
use crate::ui::button::{self, Weight};
use crate::ui::dialog::{self, Ask};
use crate::ui::form::{self, Field};
use crate::ui::icon::Icon;
use crate::ui::stepper::{Stage, Step, stepper};
use crate::ui::{Tone, copy, goods, layout, money, picture, rows, state, status, table, time, words};
use crate::visit::Visit;

pub struct TrackingPage {
    pub order: OrderView,
    /// When it was paid, where it was.
    pub paid_at: Option<DateTime<Utc>>,
    /// How often the card was tried so far.
    pub attempts: i32,
    /// ShopCategory of each SKU, for its picture.
    pub categories: BTreeMap<String, String>,
    pub may_cancel: bool,
    pub key: Uuid,
}

pub fn render(frame: &ShopFrame, shown: &TrackingPage) -> Markup {
    let reader = &frame.reader;
    let order = &shown.order;
    let (tone, sign, word) = status::order(order.status);
    let content = html! {
        (goods::crumbs(&[("/", "Shop"), ("/orders", "Your orders")]))
        (layout::title(&format!("Order {}", order.number), status::badge(tone, sign, word), html! {
            @if shown.may_cancel { (button::ask(Weight::Plain, &format!("/orders/{}/cancel", order.number), "Cancel order…")) }
        }))
        (layout::lead(&says(reader, shown)))
        (stepper("How far your order is", &steps(reader, shown)))
        (layout::with_rail(html! { (items(shown)) }, html! { (parcels(reader, shown)) (to(shown)) }))
    };
    page(frame, &format!("Order {}", order.number), content)
}

/// What happens now, to the person who waits for it.
fn says(reader: &Reader, shown: &TrackingPage) -> String {
    let order = &shown.order;
    let by_staff = order.next_action.as_ref().is_some_and(|next| next.by == Who::Staff);
    match order.status {
        Status::Pending | Status::Processing if by_staff => {
            "Your bank did not answer, so a person looks at it now. Nothing was taken twice, and your things are kept for you.".to_owned()
        }
        Status::Pending | Status::Processing if shown.attempts > 0 => {
            let due = order.next_action.as_ref().map_or(reader.now, |next| next.due_at);
            format!("Your bank did not answer. We are charging your card again {}.", time::relative(reader.now, due.max(reader.now)))
        }
        Status::Pending | Status::Processing => "We are charging your card. Your things are kept for you meanwhile.".to_owned(),
        Status::Paid => "It is paid. We are packing it and booking the carrier.".to_owned(),
        Status::Shipped => "It is on its way to you.".to_owned(),
        Status::Delivered => "It was delivered. Enjoy it.".to_owned(),
        Status::Cancelling => "We are cancelling it. What was taken from your card goes back.".to_owned(),
        Status::Cancelled => match order.cancel_reason.as_deref() {
            Some("payment_declined") => "Your card was declined, so the order ended. Nothing was taken.".to_owned(),
            Some("reservation_expired") => "It was not paid in time, so the order ended. Nothing was taken.".to_owned(),
            _ => "It is cancelled. What was taken from your card has gone back.".to_owned(),
        },
    }
}

fn steps(reader: &Reader, shown: &TrackingPage) -> Vec<Step> {
    let order = &shown.order;
    let shipped_at = order.shipments.iter().filter_map(|shipment| shipment.shipped_at).max();
    let delivered_at = order.shipments.iter().filter_map(|shipment| shipment.delivered_at).max();
    let times = [Some(order.created_at), shown.paid_at, shipped_at, delivered_at];
    let names = ["Placed", "Paid", "Shipped", "Delivered"];
    let over = matches!(order.status, Status::Cancelling | Status::Cancelled);
    let first_open = times.iter().position(Option::is_none).unwrap_or(times.len());
    let mut steps: Vec<Step> = names
        .into_iter()
        .zip(times)
        .enumerate()
        .filter(|(_, (_, at))| !over || at.is_some())
        .map(|(place, (name, at))| Step {
            name,
            stage: match at {
                Some(_) => Stage::Done,
                None if place == first_open => Stage::Now,
                None => Stage::Next,
            },
            note: match at {
                Some(at) => time::at(reader, at),
                None if place == first_open => html! { "Next" },
                None => html! {},
            },
        })
        .collect();
    if over {
        let (name, stage) =
            if order.status == Status::Cancelled { ("Cancelled", Stage::Ended) } else { ("Cancelling", Stage::Now) };
        steps.push(Step { name, stage, note: time::at(reader, order.updated_at) });
    }
    steps
}

fn items(shown: &TrackingPage) -> Markup {
    let order = &shown.order;
    let units: i64 = order.items.iter().map(|item| i64::from(item.quantity)).sum();
    let mut lines: Vec<Markup> = order.items.iter().map(|item| line(shown, item)).collect();
    lines.push(rows::spread(layout::strong("Total"), html! { strong { (money::with_code(order.total)) } }));
    layout::section(
        "items",
        "What you bought",
        layout::quiet(html! { (words::count(units, "thing", "things")) }),
        rows::rows(&lines),
    )
}

fn line(shown: &TrackingPage, item: &OrderItem) -> Markup {
    let sku = item.sku.as_str();
    let category = shown.categories.get(sku).map_or("", String::as_str);
    let name = table::two_lines(
        layout::link(&format!("/p/{}", words::segment(sku)), &item.name),
        html! { (item.quantity) " × " (money::money(item.unit_price)) },
    );
    rows::pictured(picture::thumbnail(sku, category), name, money::money(item.total))
}

fn parcels(reader: &Reader, shown: &TrackingPage) -> Markup {
    let shipments = &shown.order.shipments;
    if shipments.is_empty() {
        return html! {};
    }
    let lines: Vec<Markup> = shipments
        .iter()
        .map(|shipment| {
            html! {
                (rows::spread(
                    status::of(status::shipment(shipment.status)),
                    html! { @if let Some(at) = shipment.delivered_at.or(shipment.shipped_at) { (time::at(reader, at)) } },
                ))
                @if let Some(number) = &shipment.tracking_number { (copy::copy("tracking number", number)) }
            }
        })
        .collect();
    layout::section(
        "parcels",
        if lines.len() == 1 { "Your parcel" } else { "Your parcels" },
        html! {},
        rows::rows(&lines),
    )
}

fn to(shown: &TrackingPage) -> Markup {
    let lines = words::address_lines(&shown.order.shipping_address);
    layout::section("to", "It goes to", html! {}, layout::lines(&lines))
}

/// Small and quiet, under the list of orders.
pub fn none_yet() -> Markup {
    state::empty(
        Icon::Orders,
        "You have not ordered anything yet.",
        "",
        button::link(Weight::Main, "/", "See what there is"),
    )
}

pub async fn track(visit: Visit, Path(number): Path<String>) -> PageResult {
    let shown = load(&visit, &number).await?;
    if shown.order.number != number {
        return Ok(visit.see(&format!("/orders/{}", shown.order.number)));
    }
    Ok(visit.page(render(&frame(&visit).await?, &shown)))
}

async fn load(visit: &Visit, number: &str) -> Result<TrackingPage> {
    let caller = visit.caller()?;
    let mut conn = visit.connection().await?;
    let order = read::by_number(&mut conn, caller, number).await?;
    let events = read::events(&mut conn, caller, order.id, Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    let filter = JobFilter { order_id: Some(order.id), ..JobFilter::default() };
    let jobs = jobs::list(&mut conn, filter, Page::parse(None, None, "")?).await?.data;
    let skus: Vec<&str> = order.items.iter().map(|item| item.sku.as_str()).collect();
    let products = products::by_skus(&mut conn, &skus).await?;
    drop(conn);
    let names = category_names(visit).await?;
    let failed = jobs.iter().find(|job| job.kind == "process_payment" && job.error.is_some());
    Ok(TrackingPage {
        paid_at: events.iter().find(|event| event.r#type == "paid").map(|event| event.at),
        attempts: failed.map_or(0, |job| job.attempt),
        categories: products
            .into_iter()
            .filter_map(|product| Some((product.sku.into_string(), names.get(&product.category_id?)?.clone())))
            .collect(),
        may_cancel: order.shipments.is_empty() && order.status.allowed_manually().contains(&Status::Cancelling),
        order,
        key: Uuid::now_v7(),
    })
}

pub async fn ask_to_cancel(visit: Visit, Path(number): Path<String>) -> PageResult {
    let mut conn = visit.connection().await?;
    let order = read::by_number(&mut conn, visit.caller()?, &number).await?;
    drop(conn);
    let back = format!("/orders/{}", order.number);
    let reason = Field { name: "reason", label: "Why (if you like)", ..Field::default() };
    let asked = dialog::ask(&Ask {
        title: &format!("Cancel order {}?", order.number),
        says: html! { p { "What was taken from your card goes back. This cannot be undone." } },
        fields: form::field(&reason),
        action: &format!("{back}/cancel"),
        key: Uuid::now_v7(),
        weight: Weight::Danger,
        verb: "Cancel the order",
        back: &back,
    });
    Ok(visit.page(page(&frame(&visit).await?, "Cancel an order", asked)))
}

pub async fn cancel(visit: Visit, Path(number): Path<String>, form: Form) -> PageResult {
    let back = format!("/orders/{number}");
    match try_to_cancel(&visit, &number, &form).await {
        Ok(()) => Ok(visit.see_done(&back, DoneNotice::OrderCancelled)),
        Err(error @ (Error::OrderNotCancellable | Error::InvalidFields(_))) => {
            let mut frame = frame(&visit).await?;
            frame.flash = Some(Flash { tone: Tone::Bad, text: words::first_upper(&error.to_string()) });
            let shown = load(&visit, &number).await?;
            Ok(visit.refused(error, render(&frame, &shown)))
        }
        Err(error) => Err(error.into()),
    }
}

async fn try_to_cancel(visit: &Visit, number: &str, form: &Form) -> Result<()> {
    let asked = Cancel { reason: reason(form)? };
    let Some(mut effect) = form.begin(visit).await? else { return Ok(()) };
    let caller = visit.caller()?;
    let order = read::by_number(&mut effect.tx, caller, number).await?;
    let (_, ring) = cancel::cancel(&mut effect.tx, caller, order.id, &asked, &visit.state.plan(&visit.origin)).await?;
    effect.commit(visit).await?;
    visit.state.doorbell.ring(ring);
    Ok(())
}
