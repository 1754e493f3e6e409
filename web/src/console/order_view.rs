//! What the page of an order shows: what comes next and who must do it, then everything that is known about it.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use shared::inventory::reserve::ReservationState;
use shared::ops::jobs::JobDetail;
use shared::ops::taken::Taken;
use shared::orders::behind::{ChargeView, OrderAllocation};
use shared::orders::read::OrderEvent;
use shared::orders::status::Status;
use shared::orders::{OrderView, PaymentStatus, Who};
use shared::principal::Permission;
use shared::queue::JobState;

use crate::ui::action::{self, Emphasis};
use crate::ui::list::{Row, column, numbers, segment, table};
use crate::ui::money::money;
use crate::ui::words::reason;
use crate::ui::{self, field, notice, status, time};
use crate::visit::Visit;

/// Everything that the page shows.
pub(super) struct Seen {
    pub(super) order: OrderView,
    pub(super) events: Vec<OrderEvent>,
    pub(super) jobs: Vec<JobDetail>,
    pub(super) charges: Vec<ChargeView>,
    pub(super) allocation: OrderAllocation,
    pub(super) taken: Option<Taken>,
    /// The moment of the past that is looked at.
    pub(super) past: Option<DateTime<Utc>>,
}

pub(super) fn content(visit: &Visit, seen: &Seen, problem: Option<&str>) -> Markup {
    let order = &seen.order;
    let slip = format!("/console/orders/{}/slip", order.number);
    let is_archived = order.archive.is_some();
    html! {
        (ui::head_with(&format!("Order {}", order.number), html! {
            (status::order(order.status)) " · " (money(order.total)) " · placed " (time::both(visit, order.created_at))
        }, html! { @if !is_archived { (action::link(&slip, "Packing slip", Emphasis::Plain)) } }))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        @if let Some(at) = seen.past {
            (notice::hint_with(html! {
                "The past: the order as it was at " (time::time(visit, at)) ". Nothing can be changed here. "
                a href={ "/console/orders/" (order.number) } { "Look at it now" }
            }))
        }
        (ui::live("order", html! {
            div.two {
                div {
                    @if seen.past.is_none() { (next_card(visit, seen)) }
                    @if !is_archived { (items(order)) }
                    (payment(visit, seen))
                    (shipments(visit, order))
                    (allocation(visit, &seen.allocation))
                    @if seen.past.is_none() { (jobs_block(visit, &seen.jobs)) }
                }
                aside { (customer(order)) @if !is_archived { (as_of_form(visit, order)) } }
            }
        }))
        @if !is_archived { (timeline(visit, seen)) }
    }
}

/// Where the stock comes from, and what the other warehouses lacked.
fn allocation(visit: &Visit, allocation: &OrderAllocation) -> Markup {
    let Some(reservation) = &allocation.reservation else { return html! {} };
    let units: i64 = reservation.items.iter().map(|item| i64::from(item.quantity)).sum();
    let expires = if reservation.state == ReservationState::Held {
        time::both(visit, reservation.expires_at)
    } else {
        html! { span.quiet { "never" } }
    };
    let mut facts = vec![
        ("Reservation", html! { (reservation_word(reservation.state)) }),
        ("Units", html! { (ui::number(units)) }),
        ("Expires", expires),
    ];
    // Unknown for an archived order: its first event says it.
    if let Some(considered) = allocation.sourcing.as_ref().and_then(|sourcing| sourcing["considered"].as_array()) {
        let lacked = |house: &&serde_json::Value| house["lacks"].as_array().is_some_and(|it| !it.is_empty());
        let lacking = i64::try_from(considered.iter().filter(lacked).count()).unwrap_or(i64::MAX);
        facts.push(("Warehouses that lacked something", html! { (ui::number(lacking)) }));
    }
    ui::block("Allocation", ui::facts(&facts))
}

const fn reservation_word(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Held => "Held until it is paid",
        ReservationState::Posted => "Paid for",
        ReservationState::Shipped => "Shipped",
        ReservationState::Released => "Given back",
        ReservationState::Expired => "Expired",
    }
}

fn as_of_form(visit: &Visit, order: &OrderView) -> Markup {
    let value = time::field_value(order.updated_at, visit.zone);
    ui::block(
        "As it was",
        html! {
            form.stack action={ "/console/orders/" (order.number) } {
                (field::Field::text("as_of", "At").kind("datetime-local").value(&value).show())
                button.button { "Show that moment" }
            }
        },
    )
}

/// What happens next, by whom, and only the buttons that the order's state allows.
fn next_card(visit: &Visit, seen: &Seen) -> Markup {
    let order = &seen.order;
    let base = format!("/console/orders/{}", order.number);
    let waits_for_staff = order.next_action.as_ref().is_some_and(|next| next.by == Who::Staff);
    html! {
        section.next.attention[waits_for_staff] aria-label="What comes next" {
            p.lead { (sentence(visit, seen)) }
            @if visit.may(Permission::OrdersWrite) { div.actions {
                @for job in dead(seen) {
                    (action::button_with(&format!("{base}/retry"), &format!("Retry: {}", status::job_name(&job.job.kind)), Emphasis::Primary,
                        &[("job", &job.job.id.to_string())]))
                }
                @for to in order.status.allowed_manually() {
                    @if let Some(verb) = verb(to) {
                        (action::ask(verb, Emphasis::Plain, html! {
                            p { (effect(order, to)) }
                            (action::button_with(&format!("{base}/move"), verb, Emphasis::Primary,
                                &[("to", to.name()), ("version", &order.version.to_string())]))
                        }))
                    }
                }
                @if order.status.allowed_manually().contains(&Status::Cancelling) {
                    (action::ask("Cancel the order", Emphasis::Danger, html! {
                        p { (effect(order, Status::Cancelling)) }
                        (action::form(&format!("{base}/cancel"), "Cancel the order", Emphasis::Danger, html! {
                            (field::Field::text("reason", "Reason").optional().max(500).show())
                        }))
                    }))
                }
                @for job in dead(seen) {
                    (action::ask("Give the job up", Emphasis::Plain, html! {
                        p { "It never runs again, and the order stays with you until you move it by hand." }
                        (action::button_with(&format!("{base}/discard"), "Give the job up", Emphasis::Danger,
                            &[("job", &job.job.id.to_string())]))
                    }))
                }
            } }
            @if waits_for_staff { (taken(visit, &order.number, seen.taken.as_ref(), false)) }
        }
    }
}

/// Who looks after an order, and the button to take it or to put it back.
pub(super) fn taken(visit: &Visit, number: &str, taken: Option<&Taken>, inbox: bool) -> Markup {
    let extra: &[(&str, &str)] = if inbox { &[("inbox", "on")] } else { &[] };
    let button = |what: &str, words: &str| {
        action::button_with(&format!("/console/orders/{number}/{what}"), words, Emphasis::Plain, extra)
    };
    let may = visit.may(Permission::OrdersWrite);
    html! {
        @match taken {
            Some(taken) => div.taken {
                span { (taken.by.name) " looks after it " span.quiet { "since " (time::ago(visit, taken.at)) } }
                @if may { (button("put-back", "Put back")) }
            }
            None => @if may { (button("take", "Take")) }
        }
    }
}

fn dead(seen: &Seen) -> impl Iterator<Item = &JobDetail> {
    seen.jobs.iter().filter(|job| job.job.state == JobState::Dead)
}

fn sentence(visit: &Visit, seen: &Seen) -> Markup {
    let order = &seen.order;
    let dead = dead(seen).next();
    if let Some(part) = &order.archive {
        return html! {
            "It is " (order.status.name()) ". It is so old that its items and its timeline are in the archive, in the part " b { (part) } "."
        };
    }
    match &order.next_action {
        None if order.status == Status::Cancelled => html! {
            "This order is cancelled" @if let Some(why) = &order.cancel_reason { ": " (reason(why)) } "."
        },
        None => html! { "This order is delivered. Nothing is left to do." },
        Some(next) if next.by == Who::Worker => html! {
            (capital(&next.what)) " comes next. "
            @if next.delayed { "It is due since " (time::both(visit, next.due_at)) ", and no worker has come to it." }
            @else { "A worker does it " (time::ago(visit, next.due_at)) "." }
        },
        Some(next) => html! {
            (capital(&next.what)) " waits for you since " (time::both(visit, next.due_at)) ". "
            @if let Some(job) = dead {
                "It was tried " (ui::plural(i64::from(job.job.attempt), "time", "times")) ", and the last answer was: "
                q { (job.job.error.as_deref().unwrap_or("nothing")) } "."
            } @else { "No job does it any more: move the order by hand, or cancel it." }
        },
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().to_string() + letters.as_str())
}

fn verb(to: Status) -> Option<&'static str> {
    match to {
        Status::Processing => Some("Begin the payment by hand"),
        Status::Paid => Some("Mark as paid"),
        Status::Shipped => Some("Ship by hand"),
        Status::Delivered => Some("Mark as delivered"),
        Status::Pending | Status::Cancelling | Status::Cancelled => None,
    }
}

/// What a step does, said before it is taken.
fn effect(order: &OrderView, to: Status) -> String {
    let units: i64 = order.items.iter().map(|item| i64::from(item.quantity)).sum();
    let units = ui::plural(units, "unit", "units");
    match to {
        Status::Processing => "No worker charges the customer any more: you take the money another way.".to_owned(),
        Status::Paid => format!("Writes down that you took {} another way, and starts shipping.", money(order.total)),
        Status::Shipped => format!("Takes {units} off the stock without booking a carrier."),
        Status::Delivered => "Ends the order.".to_owned(),
        Status::Cancelling | Status::Cancelled => {
            format!("Gives back {}, if it was taken, and returns {units} to the stock.", money(order.total))
        }
        Status::Pending => String::new(),
    }
}

fn items(order: &OrderView) -> Markup {
    let columns = [column("Product"), column("SKU"), numbers("Price"), numbers("Units"), numbers("Total")];
    let rows: Vec<Row> = order
        .items
        .iter()
        .map(|item| Row {
            link: Some(format!("/console/products/{}", segment(item.sku.as_str()))),
            cells: vec![
                html! { (item.name) },
                html! { code { (item.sku.as_str()) } },
                html! { (money(item.unit_price)) },
                html! { (item.quantity) },
                html! { (money(item.total)) },
            ],
        })
        .collect();
    ui::block("Items", html! { (table("Items", &columns, &rows)) p.total { "Total " b { (money(order.total)) } } })
}

fn payment(visit: &Visit, seen: &Seen) -> Markup {
    ui::block(
        "Payment",
        html! {
            @match &seen.order.payment {
                None => p.quiet { "Nothing has been charged yet." },
                Some(payment) => (ui::facts(&[
                    ("State", status::payment(payment.status)),
                    ("Amount", html! { (money(payment.amount)) @if payment.manual { " taken by hand" } }),
                    ("Since", time::both(visit, payment.at)),
                ])),
            }
            @for charge in &seen.charges {
                @if charge.status == PaymentStatus::Pending {
                    p.hint { "We asked the provider and do not know what it did. Before it is asked to charge again, it is asked what became of this key, so the customer is charged once." }
                }
                p.quiet {
                    "Key at the provider " (ui::id(charge.id)) ", tried " (ui::plural(charge.attempts, "time", "times"))
                    @if let Some(reason) = &charge.reason { ", " (reason) }
                }
            }
        },
    )
}

fn shipments(visit: &Visit, order: &OrderView) -> Markup {
    if order.shipments.is_empty() {
        return html! {};
    }
    ui::block(
        "Shipments",
        html! {
            @for shipment in &order.shipments {
                (ui::facts(&[
                    ("State", status::shipment(shipment.status)),
                    ("Tracking", tracking(shipment.tracking_number.as_deref())),
                    ("Shipped", shipment.shipped_at.map_or_else(|| html! { span.quiet { "not yet" } }, |at| time::both(visit, at))),
                    ("Delivered", shipment.delivered_at.map_or_else(|| html! { span.quiet { "not yet" } }, |at| time::both(visit, at))),
                ]))
            }
        },
    )
}

fn tracking(number: Option<&str>) -> Markup {
    html! { @if let Some(number) = number { code { (number) } (ui::copy(number)) } @else { span.quiet { "none" } } }
}

fn jobs_block(visit: &Visit, jobs: &[JobDetail]) -> Markup {
    if jobs.is_empty() {
        return html! {};
    }
    let columns = [column("Job"), column("State"), numbers("Attempt"), column("Due"), column("Last error")];
    let rows: Vec<Row> = jobs
        .iter()
        .map(|JobDetail { job, .. }| Row {
            link: Some(format!("/console/jobs/{}", job.id)),
            cells: vec![
                html! { (status::job_name(&job.kind)) },
                status::job(job.state),
                html! { (job.attempt) " of " (job.max_attempt) },
                time::ago(visit, job.run_at),
                html! { (job.error.as_deref().unwrap_or("")) },
            ],
        })
        .collect();
    ui::block("Jobs", table("Jobs", &columns, &rows))
}

fn customer(order: &OrderView) -> Markup {
    html! {
        @if let Some(customer) = &order.customer {
            (ui::block("Customer", html! {
                p { a href={ "/console/customers/" (customer.id) } { (customer.name) } }
                p { (customer.email) (ui::copy(&customer.email)) }
                p { a href={ "/console/orders?customer_id=" (customer.id) } { "All their orders" } }
            }))
        }
        (ui::block("Ship to", ui::address(&order.shipping_address)))
        (ui::block("Ids", ui::facts(&[("Order", ui::id(order.id)), ("Number", html! { code { (order.number) } (ui::copy(&order.number)) })])))
    }
}

fn timeline(visit: &Visit, seen: &Seen) -> Markup {
    let base = format!("/console/orders/{}", seen.order.number);
    ui::block(
        "Timeline",
        html! {
            (ui::live("timeline", html! {
                ol.timeline { @for event in seen.events.iter().rev().filter(|event| seen.past.is_none_or(|at| event.at <= at)) { li {
                    span.what { (event_words(event)) }
                    @if let Some(text) = event.data["text"].as_str() { p.note { (text) } }
                    span.quiet {
                        (time::both(visit, event.at)) " · "
                        @match event.data["by"]["name"].as_str() { Some(name) => (name), None => "Millrace" }
                    }
                } } }
            }))
            @if visit.may(Permission::OrdersWrite) && seen.past.is_none() {
                (action::form(&format!("{base}/note"), "Write the note", Emphasis::Plain, field::area("text", "A note for your colleagues", "", 2000)))
            }
        },
    )
}

/// What happened, in words.
pub fn event_words(event: &OrderEvent) -> String {
    let by_hand = if event.data["by_hand"] == true { " by hand" } else { "" };
    let why = event.data["reason"].as_str().map(reason);
    match event.r#type.as_str() {
        "placed" => "Placed".to_owned(),
        "processing" => format!("Charging began{by_hand}"),
        "paid" => format!("Paid{by_hand}"),
        "shipped" => format!("Shipped{by_hand}"),
        "delivered" => format!("Delivered{by_hand}"),
        "cancelling" => format!("Cancelling asked for{}", why.map(|why| format!(": {why}")).unwrap_or_default()),
        "cancelled" => format!("Cancelled{}", why.map(|why| format!(": {why}")).unwrap_or_default()),
        "note" => "Note".to_owned(),
        "slip_printed" => "Packing slip printed".to_owned(),
        "job_retried" => format!("Retried: {}", job_of(event)),
        "job_discarded" => format!("Given up: {}", job_of(event)),
        other => other.replace('_', " "),
    }
}

fn job_of(event: &OrderEvent) -> String {
    status::job_name(event.data["kind"].as_str().unwrap_or("a job")).to_owned()
}
