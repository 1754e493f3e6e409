//! An afternoon in a small shop, in numbers that look like real ones.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::ops::jobs::{FailedAttempt, JobDetail, JobView};
use shared::ops::queues::QueueView;
use shared::ops::workers::WorkerView;
use shared::orders::read::OrderEvent;
use shared::orders::status::Status;
use shared::orders::{
    NextAction, OrderCustomer, OrderItem, OrderPayment, OrderShipment, OrderView, PaymentStatus, ShipmentStatus, Who,
};
use shared::queue::{JobState, Queue};
use shared::values::{CustomerId, JobId, Money, OrderId, OrderNumber, ProductId, WarehouseId};
use uuid::Uuid;
use web::console::order::shown::{ChargeFacts, HeldLine, Hold, Looked, OrderAction, OrderPage, StockHeld};
use web::console::orders::{Offers, OrdersPage, OrdersShown};
use web::console::overview::shown::{ErrorGroup, Fleet, Flow, LowStock, OverviewPage, People, PersonDid, Promises};
use web::reader::Reader;
use web::ui::chart::series::{ChartKind, Hue, Series};
use web::ui::chart::{Chart, Unit};
use web::ui::words::Bounded;

pub fn now() -> DateTime<Utc> {
    "2026-11-26T13:41:20Z".parse().expect("a valid time")
}

pub fn ago(minutes: i64) -> DateTime<Utc> {
    now() - TimeDelta::minutes(minutes)
}

pub fn usd(amount: i64) -> Money {
    Money::stored(amount, "USD")
}

/// Ids that are the same in every run.
pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0197_a2c4_5d10_7cc3_98a1_0000_0000_0000 + number * 0x1_3f2b_6c8d)
}

pub fn warehouses() -> BTreeMap<Uuid, String> {
    [(1, "Harrisburg, Pennsylvania"), (2, "Columbus, Ohio"), (3, "Reno, Nevada")]
        .into_iter()
        .map(|(number, name)| (id(number), name.to_owned()))
        .collect()
}

pub fn categories() -> BTreeMap<String, String> {
    [
        ("MUG-STONE-350", "Mugs & Cups"),
        ("BEAN-ETHIOPIA-250", "Coffee Beans"),
        ("BREW-POUROVER-02", "Brewing"),
        ("LINEN-TOWEL-3", "Linen"),
    ]
    .into_iter()
    .map(|(sku, category)| (sku.to_owned(), category.to_owned()))
    .collect()
}

pub fn item(sku: &str, name: &str, quantity: i32, price: i64) -> OrderItem {
    OrderItem {
        product_id: ProductId(id(77)),
        sku: sku.parse().expect("a valid SKU"),
        name: name.to_owned(),
        quantity,
        unit_price: usd(price),
        total: usd(price * i64::from(quantity)),
    }
}

pub fn order(number: i64, status: Status, customer: &str, minutes: i64) -> OrderView {
    let items = vec![
        item("MUG-STONE-350", "Stone Mug, 350 ml", 2, 1800),
        item("BEAN-ETHIOPIA-250", "Ethiopia Guji, washed, 250 g", 1, 1650),
        item("BREW-POUROVER-02", "Ceramic Pour-Over Dripper, size 02", 1, 2400),
    ];
    OrderView {
        id: OrderId(id(1000 + u128::from(number.unsigned_abs()))),
        number: OrderNumber(number).to_string(),
        status,
        customer_id: CustomerId(id(9)),
        customer: Some(OrderCustomer {
            id: CustomerId(id(9)),
            name: customer.to_owned(),
            email: format!("{}@example.com", customer.split(' ').next().unwrap_or("x").to_lowercase()),
        }),
        total: usd(items.iter().map(|item| item.total.amount).sum()),
        items,
        shipping_address: serde_json::from_value(json!({
            "name": customer, "line1": "1 Mill Lane", "line2": "Flat 3", "city": "Bath", "postal_code": "BA1 1AA", "country": "United Kingdom"
        }))
        .expect("a valid address"),
        payment: None,
        shipments: Vec::new(),
        cancel_reason: None,
        next_action: None,
        version: 4,
        created_at: ago(minutes),
        updated_at: ago(minutes - 1),
    }
}

fn waits(mut order: OrderView, what: &str, by: Who, due_at: DateTime<Utc>) -> OrderView {
    order.next_action = Some(NextAction { what: what.to_owned(), by, due_at });
    order
}

fn shipped(mut order: OrderView, delivered: bool) -> OrderView {
    order.shipments = [(1, "MR4XK29QC7ZD"), (3, "MR4XK29QD1PW")]
        .into_iter()
        .map(|(warehouse, number)| OrderShipment {
            id: id(500 + warehouse),
            warehouse_id: WarehouseId(id(warehouse)),
            status: if delivered { ShipmentStatus::Delivered } else { ShipmentStatus::Shipped },
            tracking_number: Some(number.to_owned()),
            shipped_at: Some(order.created_at + TimeDelta::minutes(3)),
            delivered_at: delivered.then(|| order.created_at + TimeDelta::minutes(64)),
        })
        .collect();
    order
}

fn job(kind: &str, state: JobState, attempt: i32) -> JobView {
    JobView {
        id: JobId(id(300 + u128::from(attempt.unsigned_abs()))),
        kind: kind.to_owned(),
        version: 1,
        queue: Queue::High,
        state,
        attempt,
        max_attempt: 8,
        run_at: ago(37),
        order_id: Some(OrderId(id(1))),
        request_id: Some("0197a2c4-5cf0-7b12-8a3d-0c1d2e3f4a5b".to_owned()),
        error: (state == JobState::Dead)
            .then(|| "the payment provider is not available: connection refused".to_owned()),
        error_fingerprint: Some("9f2c66aa01d3".to_owned()),
        worker_id: Some(id(8)),
        lease_until: None,
        created_at: ago(52),
        finished_at: (state != JobState::Running).then(|| ago(37)),
    }
}

fn attempts(most: i32) -> Vec<FailedAttempt> {
    (1..=most)
        .map(|attempt| FailedAttempt {
            attempt,
            worker_id: Some(id(8)),
            host: Some(if attempt % 3 == 0 { "mill-2" } else { "mill-7" }.to_owned()),
            started_at: Some(ago(52) + TimeDelta::seconds(i64::from(attempt * attempt * 14))),
            ended_at: ago(37),
            duration_ms: Some(i64::from(attempt) * 131 + 40),
            outcome: "transient".to_owned(),
            error: if attempt == 5 {
                "the payment provider did not answer in time; whether it acted is not known"
            } else {
                "the payment provider is not available: connection refused"
            }
            .to_owned(),
            error_fingerprint: "9f2c66aa01d3".to_owned(),
        })
        .collect()
}

fn event(sequence: i32, kind: &str, at: DateTime<Utc>, data: serde_json::Value) -> OrderEvent {
    OrderEvent { sequence, r#type: kind.to_owned(), at, data }
}

pub fn stuck_order(reader: &Reader) -> OrderPage {
    let mut order = waits(order(4711, Status::Processing, "Alice Archer", 52), "payment", Who::Staff, ago(37));
    order.payment =
        Some(OrderPayment { status: PaymentStatus::Pending, amount: order.total, manual: false, at: ago(37) });
    let sam = json!({ "id": id(90), "name": "Sam Staff" });
    let events = vec![
        event(
            1,
            "placed",
            ago(52),
            json!({ "by": { "id": id(91), "name": "Alice Archer" }, "total": 7650, "sourcing": [{ "warehouse": "EAST", "lines": 3 }] }),
        ),
        event(2, "processing", ago(52) + TimeDelta::seconds(1), json!({})),
        event(
            3,
            "note",
            ago(31),
            json!({ "by": sam, "text": "Alice wrote: her bank says that nothing was booked. I told her that we try again as soon as the bank answers." }),
        ),
        event(4, "job_retried", ago(30), json!({ "by": sam, "kind": "process_payment", "job_id": id(308) })),
    ];
    let refund = None;
    OrderPage {
        actions: vec![
            OrderAction::RetryJob(JobId(id(308))),
            OrderAction::MarkPaid,
            OrderAction::GiveUpJob(JobId(id(308))),
            OrderAction::Cancel { refund, units: 4 },
        ],
        events,
        jobs: vec![JobDetail {
            job: job("process_payment", JobState::Dead, 8),
            args: json!({}),
            attempts: attempts(8),
        }],
        charge: Some(ChargeFacts { key: id(41), asked: 8, last_asked: Some(ago(37)), unknown: true }),
        allocation: Some(StockHeld {
            state: Hold::Until(reader.now + TimeDelta::seconds(492)),
            lines: [("MUG-STONE-350", 2), ("BEAN-ETHIOPIA-250", 1), ("BREW-POUROVER-02", 1)]
                .map(|(sku, quantity)| HeldLine { warehouse_id: id(1), sku: sku.to_owned(), quantity })
                .into(),
            considered: vec![
                Looked { warehouse_id: id(1), lacked: None },
                Looked { warehouse_id: id(2), lacked: Some("1 × BEAN-ETHIOPIA-250".to_owned()) },
                Looked { warehouse_id: id(3), lacked: Some("2 × MUG-STONE-350".to_owned()) },
            ],
        }),
        other_orders: vec![
            self::order(4105, Status::Delivered, "Alice Archer", 60 * 24 * 9),
            self::order(3987, Status::Cancelled, "Alice Archer", 60 * 24 * 30),
        ],
        order,
        warehouses: warehouses(),
        categories: categories(),
        newer: Some("/console/orders/M-1".to_owned()),
        older: Some("/console/orders/M-2".to_owned()),
        trace: Some("https://traces.example.com/1".to_owned()),
        has_past: true,
        has_slip: true,
        takes_notes: true,
        as_of: None,
        key: id(5),
    }
}

pub fn delivered_order(reader: &Reader) -> OrderPage {
    let mut page = stuck_order(reader);
    page.order = shipped(order(4688, Status::Delivered, "Jean-Baptiste Grenouille", 180), true);
    page.order.payment =
        Some(OrderPayment { status: PaymentStatus::Charged, amount: page.order.total, manual: false, at: ago(179) });
    page.actions = Vec::new();
    page.jobs = Vec::new();
    page.charge = Some(ChargeFacts { key: id(41), asked: 1, last_asked: Some(ago(179)), unknown: false });
    page.allocation.as_mut().expect("the sample has one").state = Hold::Shipped;
    page.events = [
        ("placed", 180),
        ("processing", 180),
        ("paid", 179),
        ("shipped", 177),
        ("slip_printed", 170),
        ("delivered", 116),
    ]
    .into_iter()
    .zip(1..)
    .map(|((kind, minutes), sequence)| {
        event(sequence, kind, ago(minutes) + TimeDelta::seconds(i64::from(sequence)), json!({ "by_hand": false }))
    })
    .collect();
    page
}

pub fn past_order(reader: &Reader) -> OrderPage {
    OrderPage { as_of: Some(ago(51)), ..stuck_order(reader) }
}

pub fn orders(_: &Reader) -> OrdersPage {
    let names = [
        "Alice Archer",
        "Jean-Baptiste Grenouille",
        "Noor Haddad",
        "Bo Ek",
        "Maria-Magdalena von Hohenstein-Aichelberg",
        "山田 花子",
    ];
    let all = (0..26_i64).map(|place| {
        let customer = names[usize::try_from(place).expect("small") % names.len()];
        let minutes = place * 7 + place * place;
        let number = 4711 - place;
        let mut order = match place % 9 {
            0 => waits(order(number, Status::Pending, customer, minutes), "payment", Who::Worker, ago(minutes)),
            1 => waits(
                order(number, Status::Processing, customer, minutes),
                "payment",
                Who::Worker,
                now() + TimeDelta::seconds(12),
            ),
            2 => waits(order(number, Status::Processing, customer, minutes), "payment", Who::Staff, ago(minutes - 2)),
            3 => waits(order(number, Status::Paid, customer, minutes), "shipping", Who::Worker, ago(minutes)),
            4 | 5 => waits(
                shipped(order(number, Status::Shipped, customer, minutes), false),
                "delivery",
                Who::Worker,
                now() + TimeDelta::minutes(1),
            ),
            6 => waits(order(number, Status::Cancelling, customer, minutes), "cancellation", Who::Worker, ago(0)),
            7 => order(number, Status::Cancelled, customer, minutes),
            _ => shipped(order(number, Status::Delivered, customer, minutes), true),
        };
        order.total = usd(1250 + place * place * 731 % 48_000);
        order
    });
    OrdersPage {
        orders: all.collect(),
        counts: vec![
            (None, Some(Bounded::MoreThan(10_000))),
            (Some(Status::Pending), Some(Bounded::Exactly(41))),
            (Some(Status::Processing), Some(Bounded::Exactly(312))),
            (Some(Status::Paid), Some(Bounded::Exactly(7))),
            (Some(Status::Shipped), Some(Bounded::Exactly(96))),
            (Some(Status::Delivered), Some(Bounded::MoreThan(10_000))),
            (Some(Status::Cancelling), Some(Bounded::Exactly(2))),
            (Some(Status::Cancelled), Some(Bounded::Exactly(1_204))),
        ],
        filter: OrdersShown::default(),
        query: String::new(),
        warehouses: warehouses(),
        newer: None,
        older: Some("/console/orders?cursor=x".to_owned()),
        any: true,
        offers: Offers { csv: true, placing: true, filters: true, selection: true },
    }
}

pub fn no_orders() -> OrdersPage {
    let filter = OrdersShown { sku: "PAN-GOLD-1".to_owned(), ..OrdersShown::default() };
    OrdersPage {
        orders: Vec::new(),
        filter,
        ..orders(&Reader { now: now(), zone: chrono_tz::UTC, theme: web::reader::Theme::System })
    }
}

/// A curve that looks like a day: no randomness, so screenshots can be compared.
fn wave(length: usize, base: f64, swing: f64, pace: f64) -> Vec<Option<i64>> {
    (0..length)
        .map(|place| {
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "sample data")]
            let value = {
                let x = place as f64;
                (base
                    + swing * (x * pace).sin()
                    + swing * 0.5 * (x * pace * 3.7 + 1.0).sin()
                    + swing * 0.3 * (x * 2.9).cos())
                .max(0.0) as i64
            };
            Some(value)
        })
        .collect()
}

fn charts() -> Vec<Chart> {
    let times: Vec<DateTime<Utc>> = (0..60).map(|place| ago(60 - place)).collect();
    let one = |name, hue, values| Series { name, hue, values };
    let mut waits = wave(60, 48.0, 12.0, 0.2);
    waits[31] = None;
    waits[32] = None;
    let gap = |mut values: Vec<Option<i64>>| {
        values[31] = None;
        values[32] = None;
        values
    };
    vec![
        Chart {
            title: "Orders",
            headline: maud::html! { "1,204 placed, $41,220.00 in the last hour" },
            kind: ChartKind::Line,
            unit: Unit::Money("USD".parse().expect("a currency")),
            times: times.clone(),
            series: vec![one("Value a minute", Hue::Accent, wave(60, 68_700.0, 22_000.0, 0.17))],
        },
        Chart {
            title: "Jobs a minute",
            headline: maud::html! { "61 on average" },
            kind: ChartKind::Bars,
            unit: Unit::Count,
            times: times.clone(),
            series: vec![
                one("PersonDid", Hue::Soft, wave(60, 52.0, 14.0, 0.17)),
                one("Tried again", Hue::Third, wave(60, 3.0, 6.0, 0.4)),
                one("Given up", Hue::Bad, wave(60, -2.0, 6.0, 0.31)),
            ],
        },
        Chart {
            title: "Wait until a job begins",
            headline: maud::html! { "p95 of each queue" },
            kind: ChartKind::Line,
            unit: Unit::Milliseconds,
            times: times.clone(),
            series: vec![
                one("High", Hue::Accent, waits),
                one("Default", Hue::Second, gap(wave(60, 92.0, 25.0, 0.13))),
                one("Low", Hue::Third, gap(wave(60, 160.0, 40.0, 0.11))),
            ],
        },
        Chart {
            title: "Jobs that are due",
            headline: maud::html! { "74 now" },
            kind: ChartKind::Area,
            unit: Unit::Count,
            times,
            series: vec![
                one("High", Hue::Accent, wave(60, 12.0, 8.0, 0.2)),
                one("Default", Hue::Second, wave(60, 30.0, 14.0, 0.09)),
                one("Low", Hue::Third, wave(60, 22.0, 9.0, 0.15)),
            ],
        },
    ]
}

fn worker(number: u128, running: i64) -> WorkerView {
    WorkerView {
        id: id(number),
        host: format!("mill-{number}"),
        pid: 4711,
        version: "0.1.0".to_owned(),
        queues: Queue::ALL.to_vec(),
        since: ago(60 * 26),
        last_heartbeat: now() - TimeDelta::seconds(1),
        running,
        running_jobs: Vec::new(),
    }
}

pub fn overview(reader: &Reader) -> OverviewPage {
    let flow = |name, ready, wait_p95_ms| Flow {
        queue: QueueView { name, ready, scheduled: 3, running: 12, dead: 104, oldest_ready_seconds: 0, paused: false },
        wait_p95_ms: Some(wait_p95_ms),
    };
    let group = |fingerprint: &str, error: &str, kind: &str, dead, money, pace| ErrorGroup {
        fingerprint: fingerprint.to_owned(),
        error: error.to_owned(),
        kind: kind.to_owned(),
        dead: Bounded::Exactly(dead),
        money: vec![usd(money)],
        trend: wave(24, 6.0, 5.0, pace),
    };
    let low = |sku: &str, name: &str, category: &str, warehouse: &str, available, reorder_level| LowStock {
        sku: sku.to_owned(),
        name: name.to_owned(),
        category: category.to_owned(),
        warehouse: warehouse.to_owned(),
        available,
        reorder_level,
    };
    let done = |who: &str, what: &str, minutes| PersonDid {
        who: who.to_owned(),
        what: what.to_owned(),
        href: "/console/orders/M-1".to_owned(),
        at: ago(minutes),
    };
    let mut high = flow(Queue::High, 41, 48);
    high.queue.paused = true;
    OverviewPage {
        promises: Promises { held: 11, broken: Vec::new(), looked_at: ago(2) },
        people: People { orders: Bounded::Exactly(312), money: vec![usd(4_122_000)], first_since: Some(ago(37)) },
        queues: vec![high, flow(Queue::Default, 40, 112), flow(Queue::Low, 22, 190)],
        fleet: Fleet { workers: vec![worker(2, 12), worker(7, 18), worker(9, 11)], places: 96 },
        range: "1 h",
        charts: charts(),
        errors: vec![
            group(
                "a",
                "the payment provider is not available: connection refused",
                "process_payment",
                298,
                3_911_500,
                0.4,
            ),
            group(
                "b",
                "the payment provider did not answer in time; whether it acted is not known",
                "process_payment",
                9,
                182_000,
                0.7,
            ),
            group("c", "the carrier refused the address: no such postal code", "ship_order", 5, 28_500, 0.2),
        ],
        oldest: orders(reader).orders.into_iter().rev().filter(|order| order.next_action.is_some()).collect(),
        low_stock: vec![
            low("BEAN-SUMATRA-250", "Sumatra Gayo, 250 g", "Coffee Beans", "Harrisburg, Pennsylvania", 0, 50),
            low("BEAN-KENYA-250", "Kenya Nyeri AA, 250 g", "Coffee Beans", "Reno, Nevada", 9, 20),
            low("KNIFE-CHEF-20", "Chef's Knife, 20 cm", "Knives & Boards", "Columbus, Ohio", 2, 10),
            low("POT-DUTCH-55", "Enamelled Dutch Oven, 5.5 litres", "Cookware", "Reno, Nevada", 3, 8),
            low("LINEN-APRON", "Cross-Back Apron", "Linen", "Harrisburg, Pennsylvania", 11, 15),
        ],
        actions: vec![
            done("Ada Admin", "paused the queue High", 12),
            done("Sam Staff", "retried the payment of M-4XK29QC", 30),
            done("Sam Staff", "cancelled order M-9Q2M7AB", 41),
            done("Nightly import", "counted 1,204 products in Reno", 95),
            done("Ada Admin", "invited Noor Haddad", 60 * 20),
        ],
        any_order: true,
    }
}

pub fn first_day(reader: &Reader) -> OverviewPage {
    let nobody = People { orders: Bounded::Exactly(0), money: Vec::new(), first_since: None };
    OverviewPage { people: nobody, any_order: false, ..overview(reader) }
}
