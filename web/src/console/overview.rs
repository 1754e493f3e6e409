//! The first screen: does everything hold, who waits for a person, does work flow, are there workers; then charts.

use axum::extract::{RawQuery, State};
use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, PreEscaped, html};
use shared::error::Result;
use shared::history::CurrencyTotal;
use shared::history::read::{History, HistoryRange, Step};
use shared::ops::summary::Summary;
use shared::principal::Permission;
use shared::queue::Queue;
use shared::values::Money;

use super::{activity, shell};
use crate::WebState;
use crate::form::Fields;
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, reads};
use crate::ui::chart::{Chart, Series};
use crate::ui::icon::{self, Icon};
use crate::ui::list::{Row, column, numbers, query, segment, table, tabs};
use crate::ui::money::sums;
use crate::ui::status::Tone;
use crate::ui::{self, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/console", overview, reads(Permission::OpsRead))
}

async fn overview(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let range = Range::of(asked.text("range"));
    let summary = web.overview.summary().await?;
    let history = web.overview.history(range.from(visit.now)).await?;
    let drawn = web.common.charts(range.name(), visit.zone, || charts(&visit, &history).into_string()).await?;
    let short = short_lists(&web, &visit).await?;
    let content = html! {
        (ui::head("Overview", html! {}))
        (ui::live("verdicts", verdicts(&visit, &summary)))
        (ui::live("charts", html! {
            (tabs("Time", &Range::ALL.map(|it| (it.name().to_owned(), query(&visit, &[("range", Some(it.name()))]), it == range))))
            div.grid { (PreEscaped(drawn.as_str())) }
        }))
        (ui::live("short", short))
    };
    Ok(shell::live_page(&web, &visit, "Overview", content).await?)
}

/// How far back the charts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    QuarterHour,
    Hour,
    SixHours,
    Day,
    Week,
    Quarter,
}

impl Range {
    const ALL: [Self; 6] = [Self::QuarterHour, Self::Hour, Self::SixHours, Self::Day, Self::Week, Self::Quarter];

    const fn name(self) -> &'static str {
        match self {
            Self::QuarterHour => "15 min",
            Self::Hour => "1 h",
            Self::SixHours => "6 h",
            Self::Day => "24 h",
            Self::Week => "7 d",
            Self::Quarter => "90 d",
        }
    }

    fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.name() == name).unwrap_or(Self::Hour)
    }

    /// The end is a whole step, so that all viewers of a moment ask the same.
    fn from(self, now: DateTime<Utc>) -> HistoryRange {
        let (span, step) = match self {
            Self::QuarterHour => (TimeDelta::minutes(15), Step::TenSeconds),
            Self::Hour => (TimeDelta::hours(1), Step::Minute),
            Self::SixHours => (TimeDelta::hours(6), Step::FiveMinutes),
            Self::Day => (TimeDelta::hours(24), Step::QuarterHour),
            Self::Week => (TimeDelta::days(7), Step::SixHours),
            Self::Quarter => (TimeDelta::days(90), Step::Day),
        };
        let seconds = i64::from(step.seconds());
        let end = DateTime::from_timestamp((now.timestamp() / seconds + 1) * seconds, 0).unwrap_or(now);
        HistoryRange { step: Some(step), from: Some(end - span), to: Some(end) }
    }
}

fn verdicts(visit: &Visit, summary: &Summary) -> Markup {
    html! { div.verdicts { (promises(visit, summary)) (people(visit, summary)) (flow(summary)) (fleet(summary)) (orders(summary)) } }
}

fn verdict(link: &str, tone: Tone, title: &str, big: &str, words: Markup) -> Markup {
    let icon = match tone {
        Tone::Good => Icon::Check,
        Tone::Bad => Icon::Alert,
        Tone::Waiting => Icon::Clock,
        Tone::Busy | Tone::Over => Icon::Dot,
    };
    html! {
        a href=(link) {
            span.title { span class=(tone.class()) { (icon::svg(icon)) } (title) }
            span.big { (big) }
            span.quiet { (words) }
        }
    }
}

fn promises(visit: &Visit, summary: &Summary) -> Markup {
    let found = &summary.promises;
    let looked =
        html! { @if let Some(at) = found.ran_at { "looked " (time::ago(visit, at)) } @else { "not looked yet" } };
    match (found.violations, found.ran_at) {
        (0, Some(_)) => {
            verdict("/console/audit", Tone::Good, "Promises", &format!("All {} hold", found.invariants), looked)
        }
        (0, None) => verdict("/console/audit", Tone::Waiting, "Promises", "Not known yet", looked),
        (broken, _) => {
            let big = format!("{} broken", ui::plural(broken, "row is", "rows are"));
            verdict("/console/audit", Tone::Bad, "Promises", &big, looked)
        }
    }
}

fn people(visit: &Visit, summary: &Summary) -> Markup {
    let waiting = &summary.people;
    if waiting.orders == 0 {
        return verdict(
            "/console/inbox",
            Tone::Good,
            "People",
            "Nobody waits for you",
            html! { "every order has a worker" },
        );
    }
    let wait = if waiting.orders == 1 { "waits" } else { "wait" };
    let big = format!(
        "{}{} {wait} for you",
        if waiting.at_least { "≥ " } else { "" },
        ui::plural(waiting.orders, "order", "orders")
    );
    verdict(
        "/console/inbox",
        Tone::Waiting,
        "People",
        &big,
        html! {
            (sums(&values(&waiting.totals))) @if let Some(since) = waiting.since { ", the first since " (time::ago(visit, since)) }
        },
    )
}

fn flow(summary: &Summary) -> Markup {
    let oldest = summary.flow.iter().map(|queue| queue.oldest_due_seconds).max().unwrap_or(0);
    let paused: Vec<&str> = summary.flow.iter().filter(|queue| queue.paused).map(|queue| queue.queue.name()).collect();
    let slowest = summary.flow.iter().filter_map(|queue| queue.p95_wait_ms).reduce(f64::max);
    let words = html! {
        @if !paused.is_empty() { "paused: " (paused.join(", ")) }
        @else if let Some(slowest) = slowest { "95 of 100 jobs waited less than " (short_time(slowest)) }
        @else { "no job ran in the last five minutes" }
    };
    match oldest {
        _ if !paused.is_empty() => verdict("/console/queues", Tone::Waiting, "Flow", "A queue is paused", words),
        ..=5 => verdict("/console/queues", Tone::Good, "Flow", "Jobs run at once", words),
        _ => {
            let big = format!("A job waits for {}", time::span(TimeDelta::seconds(oldest)));
            verdict("/console/queues", Tone::Waiting, "Flow", &big, words)
        }
    }
}

fn short_time(millis: f64) -> String {
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

fn fleet(summary: &Summary) -> Markup {
    let fleet = &summary.fleet;
    let words = html! { (ui::number(fleet.places_used)) " of " (ui::number(fleet.places)) " places used" };
    let big = ui::plural(fleet.workers, "worker", "workers");
    let tone = if fleet.workers == 0 { Tone::Bad } else { Tone::Good };
    verdict("/console/workers", tone, "Fleet", &big, words)
}

fn orders(summary: &Summary) -> Markup {
    let today: i64 = summary.orders.today.iter().map(|total| total.orders).sum();
    let hour: i64 = summary.orders.last_hour.iter().map(|total| total.orders).sum();
    verdict(
        "/console/orders",
        Tone::Over,
        "Orders today",
        &ui::number(today),
        html! {
            (sums(&values(&summary.orders.today))) ", " (ui::number(hour)) " in the last hour"
        },
    )
}

fn values(totals: &[CurrencyTotal]) -> Vec<Money> {
    totals.iter().map(|total| Money { amount: total.value, currency: total.currency }).collect()
}

// ---- charts ----------------------------------------------------------------------------------

fn charts(visit: &Visit, history: &History) -> Markup {
    let grid = Grid::of(history);
    let per_minute = 60.0 / f64::from(history.step.seconds());
    let orders = grid.series("Orders", history.orders.iter().map(|point| (point.at, whole(point.placed))), true);
    let outcomes = ["done", "retried", "dead"].map(|outcome| {
        let points = history.jobs.iter().filter(|point| point.outcome == outcome);
        grid.series(outcome, points.map(|point| (point.at, whole(point.count) * per_minute)), true)
    });
    let waits = Queue::ALL.map(|queue| {
        let points = history.waits.iter().filter(|point| point.queue == queue);
        grid.series(queue.name(), points.map(|point| (point.at, point.times.p95_ms)), false)
    });
    let depths = Queue::ALL.map(|queue| {
        let points = history.depths.iter().filter(|point| point.queue == queue);
        grid.series(queue.name(), points.map(|point| (point.at, whole(point.ready))), false)
    });
    let per_second = 1.0 / f64::from(history.step.seconds());
    let failed = history.requests.iter().map(|point| (point.at, whole(point.failed) * per_second));
    let mut requests = Vec::from(CLASSES.map(|class| {
        let points = history.requests.iter().filter(|point| point.class == class);
        grid.series(class, points.map(|point| (point.at, whole(point.requests) * per_second)), true)
    }));
    requests.push(grid.series("failed", failed, true));
    let took = CLASSES.map(|class| {
        let points = history.requests.iter().filter(|point| point.class == class);
        grid.series(class, points.map(|point| (point.at, point.times.p95_ms)), false)
    });
    let chart = |title, unit, series: Vec<Series>, filled| {
        Chart { title, unit, times: grid.times.clone(), series, filled }.show(visit)
    };
    html! {
        (chart("Orders placed", "in each step", vec![orders], true))
        (chart("Jobs", "a minute, by outcome", outcomes.into(), false))
        (chart("Wait of 95 in 100 jobs", "ms, by queue", waits.into(), false))
        (chart("Ready jobs", "by queue", depths.into(), false))
        (chart("Requests", "a second", requests, false))
        (chart("Time of 95 in 100 requests", "ms", took.into(), false))
    }
}

/// The classes of requests, as `api::metrics` names them.
const CLASSES: [&str; 3] = ["reads", "writes", "pages"];

/// The moments of a chart.
struct Grid {
    start: DateTime<Utc>,
    step: i64,
    pub times: Vec<DateTime<Utc>>,
}

impl Grid {
    fn of(history: &History) -> Self {
        let step = i64::from(history.step.seconds());
        let start = DateTime::from_timestamp(history.from.timestamp() / step * step, 0).unwrap_or(history.from);
        let count = (history.to - start).num_seconds() / step;
        Self { start, step, times: (0..count).map(|at| start + TimeDelta::seconds(at * step)).collect() }
    }

    /// Points of one moment are added up. A moment without a point is a gap, or zero where nothing means none.
    fn series(&self, name: &str, points: impl Iterator<Item = (DateTime<Utc>, f64)>, zero: bool) -> Series {
        let mut values: Vec<Option<f64>> = vec![None; self.times.len()];
        for (at, value) in points {
            let place = usize::try_from((at - self.start).num_seconds() / self.step).unwrap_or(usize::MAX);
            if let Some(slot) = values.get_mut(place) {
                *slot = Some(slot.unwrap_or(0.0) + value);
            }
        }
        // Before the first point nothing was recorded; after it, nothing happened.
        if zero && let Some(first) = values.iter().position(Option::is_some) {
            values[first..].iter_mut().for_each(|value| *value = Some(value.unwrap_or(0.0)));
        }
        Series { name: name.to_owned(), values }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a chart shows three digits")]
fn whole(count: i64) -> f64 {
    count as f64
}

// ---- short lists -----------------------------------------------------------------------------

async fn short_lists(web: &WebState, visit: &Visit) -> Result<Markup> {
    let lists = web.common.short_lists().await?;
    let stock_rows: Vec<Row> = lists
        .low
        .iter()
        .map(|row| Row {
            link: Some(format!("/console/stock/{}", segment(&row.sku))),
            cells: vec![html! { (row.sku) }, html! { (row.available) }, html! { (row.reorder_level) }],
        })
        .collect();
    Ok(html! {
        div.grid {
            (ui::block("Low stock", html! {
                @if lists.low.is_empty() { p.quiet { "Nothing is at its reorder level." } }
                @else { (table("Low stock", &[column("SKU"), numbers("Available"), numbers("Reorder at")], &stock_rows)) }
            }))
            (ui::block("Last done by people", html! {
                @if lists.done.is_empty() { p.quiet { "Nobody has done anything by hand yet." } }
                @else { (activity::rows(visit, &lists.done)) }
            }))
        }
    })
}
