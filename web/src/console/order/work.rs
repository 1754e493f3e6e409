//! What was done for the order: charge, shipments, stock, jobs.

use std::collections::BTreeMap;

use maud::{Markup, html};
use shared::ops::jobs::{FailedAttempt, JobDetail};
use shared::orders::{OrderShipment, PaymentStatus};
use shared::queue::JobState;
use uuid::Uuid;

use super::shown::{HeldLine, Hold, OrderPage};
use crate::page::console::{ConsoleFrame, Screen};
use crate::reader::Reader;
use crate::ui::icon::Icon;
use crate::ui::table::{self, CellPlace, Table};
use crate::ui::{Tone, copy, facts, layout, meter, money, rows, status, time, words};

pub fn payment(reader: &Reader, shown: &OrderPage) -> Markup {
    let Some(payment) = &shown.order.payment else {
        return layout::section("payment", "Payment", html! {}, layout::remark("No charge was made so far."));
    };
    let unknown =
        shown.charge.as_ref().is_some_and(|charge| charge.unknown) && payment.status == PaymentStatus::Pending;
    let mut pairs = vec![("Amount", money::with_code(payment.amount))];
    if payment.manual {
        pairs.push(("How", html! { "By hand: the money came another way" }));
    }
    if let Some(charge) = &shown.charge {
        pairs.push((
            "Asked",
            html! {
                (words::count(charge.asked.into(), "time", "times"))
                @if let Some(at) = charge.last_asked { ", last " (time::with_ago(reader, at)) }
            },
        ));
        pairs.push(("Key", copy::copy("the key at the provider", &charge.key.to_string())));
    }
    let content = html! {
        @if unknown {
            (layout::remark("Whether the money was taken is not known yet. We look the key up before we ask again, so the customer is never charged twice."))
        }
        (facts::facts(&pairs))
    };
    let beside =
        html! { (status::of(status::payment(payment.status))) " " (layout::quiet(time::at(reader, payment.at))) };
    layout::section("payment", "Payment", beside, content)
}

pub fn shipments(reader: &Reader, shown: &OrderPage) -> Markup {
    let shipments = &shown.order.shipments;
    if shipments.is_empty() {
        return html! {};
    }
    let lines: Vec<Markup> = shipments.iter().map(|shipment| one_shipment(reader, shown, shipment)).collect();
    let beside = layout::quiet(html! { (words::count(shipments.len() as i64, "parcel", "parcels")) });
    layout::section("shipments", "Shipments", beside, rows::rows(&lines))
}

fn one_shipment(reader: &Reader, shown: &OrderPage, shipment: &OrderShipment) -> Markup {
    let left = html! {
        (status::of(status::shipment(shipment.status)))
        (layout::quiet(html! { "from " (shown.warehouse(shipment.warehouse_id.0)) }))
    };
    let right = html! {
        @if let Some(number) = &shipment.tracking_number { (copy::copy("tracking number", number)) }
        @if let Some(at) = shipment.delivered_at.or(shipment.shipped_at) { (layout::quiet(time::at(reader, at))) }
    };
    rows::spread(left, right)
}

pub fn allocation(reader: &Reader, shown: &OrderPage) -> Markup {
    let Some(allocation) = &shown.allocation else { return html! {} };
    let mut by_warehouse: BTreeMap<Uuid, Vec<&HeldLine>> = BTreeMap::new();
    for line in &allocation.lines {
        by_warehouse.entry(line.warehouse_id).or_default().push(line);
    }
    let lines: Vec<Markup> = by_warehouse.iter().map(|(id, lines)| one_warehouse(shown, *id, lines)).collect();
    let why: Vec<Markup> = allocation
        .considered
        .iter()
        .map(|one| {
            let verdict = match &one.lacked {
                Some(lacked) => status::status(Tone::Quiet, Icon::Minus, &format!("lacked {lacked}")),
                None => status::status(Tone::Good, Icon::Check, "has all of it"),
            };
            rows::spread(html! { (shown.warehouse(one.warehouse_id)) }, verdict)
        })
        .collect();
    let content = html! {
        (rows::rows(&lines))
        @if !why.is_empty() { (layout::details(html! { "Why these warehouses" }, rows::rows(&why))) }
    };
    layout::section("stock", "Stock", hold(reader, allocation.state), content)
}

/// A warehouse, and what it gives.
fn one_warehouse(shown: &OrderPage, id: Uuid, lines: &[&HeldLine]) -> Markup {
    let units: i64 = lines.iter().map(|line| i64::from(line.quantity)).sum();
    let goods: Vec<String> =
        lines.iter().map(|line| format!("{} × {}", line.quantity, shown.item_name(&line.sku))).collect();
    let left = table::two_lines(html! { (shown.warehouse(id)) }, html! { (goods.join(", ")) });
    rows::spread(left, html! { (words::count(units, "unit", "units")) })
}

fn hold(reader: &Reader, hold: Hold) -> Markup {
    match hold {
        Hold::Until(end) if end > reader.now => html! {
            (status::status(Tone::Info, Icon::Clock, "Held")) " "
            (layout::quiet(html! { "until " (time::at(reader, end)) ", " (time::ago(reader, end)) }))
        },
        Hold::Until(_) => status::status(Tone::Warn, Icon::Alert, "The hold has expired"),
        Hold::Kept => status::status(Tone::Good, Icon::Check, "Kept for this order"),
        Hold::Shipped => status::status(Tone::Good, Icon::Truck, "Has left the shelf"),
        Hold::Released => status::status(Tone::Quiet, Icon::Retry, "Back on the shelf"),
    }
}

pub fn jobs(frame: &ConsoleFrame, shown: &OrderPage) -> Markup {
    let content = if shown.jobs.is_empty() {
        layout::remark("No job is left to do, and those that are done have been removed. The timeline stays.")
    } else {
        let jobs: Vec<Markup> = shown.jobs.iter().map(|job| one_job(frame, job)).collect();
        rows::rows(&jobs)
    };
    layout::section("jobs", "Jobs", layout::quiet(html! { "done ones are kept for an hour" }), content)
}

fn one_job(frame: &ConsoleFrame, detail: &JobDetail) -> Markup {
    let reader = &frame.reader;
    let job = &detail.job;
    let running = job.state == JobState::Running;
    let left = html! {
        (frame.link(Screen::Jobs, &format!("/console/jobs/{}", job.id), &words::job_kind(&job.kind)))
        " " (status::of(status::job(job.state)))
    };
    let right = html! {
        (meter::attempts(i32::try_from(detail.attempts.len()).unwrap_or(i32::MAX), running, job.max_attempt))
        (layout::quiet(html! {
            "attempt " (job.attempt) " of " (job.max_attempt) ", "
            @if let Some(at) = job.finished_at { (time::at(reader, at)) } @else { "due " (time::at(reader, job.run_at)) }
        }))
    };
    html! {
        (rows::spread(left, right))
        @if !detail.attempts.is_empty() {
            (layout::details_open(
                job.state == JobState::Dead,
                html! { (words::count(detail.attempts.len() as i64, "failed attempt", "failed attempts")) },
                attempts(reader, detail),
            ))
        }
    }
}

fn attempts(reader: &Reader, detail: &JobDetail) -> Markup {
    let columns = vec![
        table::number("No.", CellPlace::Title),
        table::text("Began", CellPlace::End),
        table::text("Where", CellPlace::Meta),
        table::number("Took", CellPlace::Meta),
        table::text("Answer", CellPlace::Meta),
    ];
    let mut before = None;
    let rows = detail
        .attempts
        .iter()
        .map(|attempt| {
            let same = before.replace(&attempt.error) == Some(&attempt.error);
            attempt_row(reader, attempt, same).into()
        })
        .collect();
    table::table(Table::new("Failed attempts", columns, rows))
}

/// An answer that is the same as the one before is quiet, so that a new one is seen.
fn attempt_row(reader: &Reader, attempt: &FailedAttempt, same: bool) -> Vec<Markup> {
    let answer = html! { (words::first_upper(&attempt.error)) };
    vec![
        html! { (attempt.attempt) },
        time::exact(reader, attempt.started_at.unwrap_or(attempt.ended_at)),
        html! { (attempt.host.as_deref().unwrap_or("a worker that is gone")) },
        html! { @if let Some(ms) = attempt.duration_ms { (time::milliseconds(ms)) } @else { "not known" } },
        if same { layout::quiet(answer) } else { answer },
    ]
}
