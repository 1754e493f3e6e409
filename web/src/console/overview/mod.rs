//! The first screen: four sentences about how things stand, four charts, and four short lists.

mod lists;
mod verdicts;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use shared::ops::jobs::{QueueView, WorkerView};
use shared::orders::OrderView;
use shared::values::Money;

use crate::page::console::{Frame, Screen, page};
use crate::ui::button::{self, Weight};
use crate::ui::chart::{self, Chart};
use crate::ui::icon::Icon;
use crate::ui::tabs::{Tab, tabs};
use crate::ui::words::Bounded;
use crate::ui::{layout, state};

pub struct OverviewPage {
    pub promises: Promises,
    pub people: People,
    pub queues: Vec<Flow>,
    pub fleet: Fleet,
    pub range: &'static str,
    /// Orders and value, jobs by outcome, waits, depths.
    pub charts: Vec<Chart>,
    pub errors: Vec<ErrorGroup>,
    pub oldest: Vec<OrderView>,
    pub low_stock: Vec<LowStock>,
    pub actions: Vec<Done>,
    /// A shop without a single order gets first steps instead of charts.
    pub any_order: bool,
}

/// What the audit holds to be true.
pub struct Promises {
    pub held: usize,
    /// What does not hold, each as a sentence.
    pub broken: Vec<String>,
    pub looked_at: DateTime<Utc>,
}

/// Orders that wait for a person.
pub struct People {
    pub orders: Bounded,
    /// One sum for each currency.
    pub money: Vec<Money>,
    pub first_since: Option<DateTime<Utc>>,
}

pub struct Flow {
    pub queue: QueueView,
    pub wait_p95_ms: Option<i64>,
}

pub struct Fleet {
    pub workers: Vec<WorkerView>,
    pub places: i64,
}

pub struct ErrorGroup {
    pub fingerprint: String,
    pub error: String,
    pub kind: String,
    pub dead: Bounded,
    pub money: Vec<Money>,
    /// Dead jobs an hour over the last day.
    pub trend: Vec<Option<i64>>,
}

pub struct LowStock {
    pub sku: String,
    pub name: String,
    pub category: String,
    pub warehouse: String,
    pub available: i64,
    pub reorder_level: i64,
}

/// Something that a person did.
pub struct Done {
    pub who: String,
    /// `cancelled order M-4XK29QC`
    pub what: String,
    pub href: String,
    pub at: DateTime<Utc>,
}

const RANGES: &[&str] = &["15 min", "1 h", "6 h", "24 h", "7 d", "90 d"];

pub fn render(frame: &Frame, shown: &OverviewPage) -> Markup {
    let reader = &frame.reader;
    let content = html! {
        (layout::title("Overview", html! {}, html! { (ranges(shown)) }))
        (layout::verdicts(&[
            verdicts::promises(reader, &shown.promises),
            verdicts::people(reader, &shown.people),
            verdicts::flow(reader, &shown.queues),
            verdicts::fleet(reader, &shown.fleet),
        ]))
        @if shown.any_order {
            (layout::halves(&shown.charts.iter().map(|one| chart::chart(reader, one)).collect::<Vec<_>>()))
            (layout::halves(&[
                lists::errors(shown),
                lists::oldest(reader, shown),
                lists::low_stock(shown),
                lists::actions(reader, shown),
            ]))
        } @else { (first_steps()) }
    };
    page(frame, Screen::Overview, "Overview", content)
}

fn ranges(shown: &OverviewPage) -> Markup {
    let hrefs: Vec<String> = RANGES.iter().map(|range| format!("/console?range={}", range.replace(' ', ""))).collect();
    let all: Vec<Tab<'_>> = RANGES
        .iter()
        .zip(&hrefs)
        .map(|(words, href)| Tab { href, words, count: None, here: *words == shown.range })
        .collect();
    tabs("Time range of the charts", &all)
}

fn first_steps() -> Markup {
    state::empty(
        Icon::Product,
        "The shop is open and nobody has bought anything yet.",
        "Place the first order: choose a test card, such as one that pays or one whose bank is away, and see it arrive here.",
        button::row(&[
            button::link(Weight::Main, "/", "Open the shop"),
            button::link(Weight::Plain, "/console/stock", "Look at the stock"),
        ]),
    )
}
