//! The buyer's own orders, and where each of them is. The page of an order follows it live.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use shared::error::{Error, Resource, Result};
use shared::orders::cancel::{self, Cancel};
use shared::orders::read::{self, OrderEvent, OrderFilter};
use shared::orders::status::Status;
use shared::orders::{OrderView, Who};
use shared::page::Page;
use shared::queue::Plan;
use shared::values::{OrderId, OrderNumber};
use sqlx::PgConnection;

use super::shell::{show, show_live};
use crate::WebState;
use crate::form::Fields;
use crate::live::Topic;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, Rule, Site, Visitors};
use crate::ui::action::{self, Emphasis};
use crate::ui::list::{Row, column, numbers, pager, segment, table};
use crate::ui::money::money;
use crate::ui::words::reason;
use crate::ui::{self, notice, status, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let read = Rule::read(Site::Shop, Visitors::SignedIn);
    PageRoutes::default()
        .page("/orders", list, read)
        .page("/orders/{number}", track, read)
        .page("/orders/{number}/live", stream, read)
        .form("/orders/{number}/cancel", cancel_order, Rule::write(Site::Shop, Visitors::SignedIn).changes_products())
}

/// Staff who buy see their own orders here, not everybody's.
fn own(visit: &Visit) -> Result<OrderFilter> {
    let customer_id = Some(visit.principal()?.require_person()?.customer_id);
    Ok(OrderFilter { customer_id, ..OrderFilter::default() })
}

async fn list(State(web): State<WebState>, visit: Visit, headers: HeaderMap, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let page = Page::parse(Some(20), asked.given("cursor"), "")?;
    let orders = read::list(&mut *web.db.acquire().await?, visit.principal()?, own(&visit)?, page).await?;
    let columns = [column("Order"), column("Placed"), column("Status"), numbers("Total")];
    let rows: Vec<Row> = orders
        .data
        .iter()
        .map(|order| Row {
            link: Some(format!("/orders/{}", order.number)),
            cells: vec![
                html! { (order.number) },
                time::time(&visit, order.created_at),
                status::order(order.status),
                html! { (money(order.total)) },
            ],
        })
        .collect();
    let content = html! {
        h1 { "Your orders" }
        @if rows.is_empty() {
            (ui::empty("You have not ordered anything yet", html! { p { a.button.primary href="/" { "Look around" } } }))
        } @else { (table("Your orders", &columns, &rows)) (pager(&visit, orders.next_cursor.as_deref())) }
    };
    Ok(show(&visit, &headers, "Your orders", &content))
}

async fn id_of(conn: &mut PgConnection, visit: &Visit, number: &str) -> Result<OrderId> {
    let number: OrderNumber = number.parse().map_err(|_| Error::NotFound(Resource::Order))?;
    let id = read::id_of_number(conn, visit.principal()?, number).await?;
    let order = read::get(conn, visit.principal()?, id).await?;
    if Some(order.customer_id) == own(visit)?.customer_id { Ok(id) } else { Err(Error::NotFound(Resource::Order)) }
}

async fn track(
    State(web): State<WebState>,
    visit: Visit,
    headers: HeaderMap,
    InPath(number): InPath<String>,
) -> PageResult {
    Ok(page(&web, &visit, &headers, &number, None).await?)
}

async fn page(
    web: &WebState,
    visit: &Visit,
    headers: &HeaderMap,
    number: &str,
    problem: Option<&str>,
) -> Result<Markup> {
    let mut conn = web.db.acquire().await?;
    let id = id_of(&mut conn, visit, number).await?;
    let order = read::get(&mut conn, visit.principal()?, id).await?;
    let events = read::timeline(&mut conn, visit.principal()?, &order).await?;
    drop(conn);
    let content = html! {
        h1 { "Order " (order.number) }
        @if let Some(problem) = problem { (notice::bad(problem)) }
        (ui::live("track", html! {
            section.track {
                p.lead role="status" { (now(visit, &order)) }
                @if order.archive.is_none() { (steps(visit, &order, &events)) }
                @if order.status.allowed_manually().contains(&Status::Cancelling) { (cancel_form(&order)) }
            }
            (parcels(visit, &order))
        }))
        @if order.archive.is_none() { (bought(&order)) }
        @else { p { "It is so old that we no longer show here what was in it. Ask us, and we look it up." } }
    };
    let live = format!("/orders/{}/live", order.number);
    Ok(show_live(visit, headers, &format!("Order {}", order.number), Some(live), &content))
}

/// What happens now, in words that a buyer uses.
fn now(visit: &Visit, order: &OrderView) -> Markup {
    let delayed = order.next_action.as_ref().is_some_and(|next| next.delayed);
    let by_person = order.next_action.as_ref().is_some_and(|next| next.by == Who::Staff);
    let due = order.next_action.as_ref().map(|next| next.due_at).filter(|due| *due > visit.now);
    let when = |due: Option<DateTime<Utc>>| html! { @if let Some(due) = due { " again " (time::ago(visit, due)) } };
    match order.status {
        Status::Pending | Status::Processing if by_person => html! {
            "Your bank does not answer, so a person looks at it now. Nothing has been taken twice, and the goods stay yours meanwhile."
        },
        Status::Pending | Status::Processing if delayed => html! {
            "Very many people order at this moment, so your card is charged a little later. The goods stay yours meanwhile."
        },
        Status::Pending | Status::Processing => html! { "We are charging your card" (when(due)) "." },
        Status::Paid if by_person => html! { "It is paid. A person is looking at the shipment." },
        Status::Paid => html! { "It is paid. We are packing it now." },
        Status::Shipped => html! { "It is on its way." },
        Status::Delivered => html! { "It has arrived. Enjoy it." },
        Status::Cancelling => html! { "We are cancelling it. If anything was taken, you get it back." },
        Status::Cancelled => html! {
            "It is cancelled" @if let Some(why) = &order.cancel_reason { ": " (reason(why)) } "."
        },
    }
}

/// The steps of an order with their times.
fn steps(visit: &Visit, order: &OrderView, events: &[OrderEvent]) -> Markup {
    let at = |kind: &str| events.iter().find(|event| event.r#type == kind).map(|event| event.at);
    let mut steps = vec![
        ("Placed", at("placed")),
        ("Paid", at("paid")),
        ("Shipped", at("shipped")),
        ("Delivered", at("delivered")),
    ];
    if matches!(order.status, Status::Cancelling | Status::Cancelled) {
        steps.retain(|(_, at)| at.is_some());
        steps.push(("Cancelled", at("cancelled")));
    }
    let current = steps.iter().position(|(_, at)| at.is_none());
    html! {
        ol.steps {
            @for (place, (name, at)) in steps.iter().enumerate() {
                @let class = if at.is_some() { "done" } else if Some(place) == current { "now" } else { "todo" };
                li class=(class) { b { (name) } @if let Some(at) = at { " " span.quiet { (time::time(visit, *at)) } } }
            }
        }
    }
}

fn cancel_form(order: &OrderView) -> Markup {
    action::ask(
        "Cancel the order",
        Emphasis::Danger,
        html! {
            p { "We give back what was taken. This cannot be undone." }
            (action::button(&format!("/orders/{}/cancel", order.number), "Cancel the order", Emphasis::Danger))
        },
    )
}

fn parcels(visit: &Visit, order: &OrderView) -> Markup {
    html! {
        @if !order.shipments.is_empty() {
            (ui::block("Parcels", html! {
                @for parcel in &order.shipments {
                    p {
                        (status::shipment(parcel.status)) " "
                        @if let Some(number) = &parcel.tracking_number { "Tracking number " code { (number) } (ui::copy(number)) }
                        @if let Some(at) = parcel.delivered_at.or(parcel.shipped_at) { " " span.quiet { (time::time(visit, at)) } }
                    }
                }
            }))
        }
    }
}

fn bought(order: &OrderView) -> Markup {
    let columns = [column("Product"), numbers("Price"), numbers("Quantity"), numbers("Total")];
    let rows: Vec<Row> = order
        .items
        .iter()
        .map(|item| Row {
            link: Some(format!("/p/{}", segment(item.sku.as_str()))),
            cells: vec![
                html! { (item.name) },
                html! { (money(item.unit_price)) },
                html! { (item.quantity) },
                html! { (money(item.total)) },
            ],
        })
        .collect();
    html! {
        (ui::block("What you bought", html! { (table("What you bought", &columns, &rows)) p.total { "Total " b { (money(order.total)) } } }))
        (ui::block("Where it goes", ui::address(&order.shipping_address)))
    }
}

async fn stream(State(web): State<WebState>, visit: Visit, InPath(number): InPath<String>) -> PageResult<Response> {
    let id = id_of(&mut *web.db.acquire().await?, &visit, &number).await?;
    Ok(web.live.stream(Topic::Order(id))?)
}

async fn cancel_order(
    State(web): State<WebState>,
    headers: HeaderMap,
    InPath(number): InPath<String>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let id = id_of(&mut once.tx, &once.visit, &number).await?;
        let plan = Plan {
            delay: std::time::Duration::ZERO,
            max_attempts: web.settings.job_max_attempts,
            origin: once.visit.origin.clone(),
        };
        cancel::cancel(&mut once.tx, once.visit.principal()?, id, &Cancel::default(), &plan).await
    };
    match done.await {
        Ok((order, ring)) => {
            let left = once.leave(&and_say(&format!("/orders/{}", order.number), "cancelling")).await?;
            web.doorbell.ring(ring);
            Ok(left)
        }
        Err(error) => {
            let page = page(&web, &once.visit, &headers, &number, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}
