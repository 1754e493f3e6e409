//! The workers and what each runs now, and what runs by the clock.

use axum::extract::State;
use axum::response::Response;
use chrono::TimeDelta;
use maud::{Markup, html};
use shared::ops::workers::{self, GoneWorker, WorkerView};
use shared::orders::reap;
use shared::principal::Permission;
use shared::queue::Plan;
use shared::schedule::{self, ClockView};

use super::shell;
use crate::WebState;
use crate::once::{OnceForm, and_say};
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::icon::Icon;
use crate::ui::list::{Row, column, table};
use crate::ui::status::{self, Tone};
use crate::ui::{self, chart, notice, time};
use crate::visit::Visit;

/// A job of the clock that has not succeeded for so many of its periods is late.
const LATE_AFTER: i32 = 3;

pub fn routes() -> PageRoutes {
    PageRoutes::default()
        .page("/console/workers", show_workers, reads(Permission::OpsRead))
        .page("/console/clock", show_clock, reads(Permission::OpsRead))
        .form("/console/clock/reaper", run_reaper, changes(Permission::InventoryWrite).changes_products())
}

async fn show_workers(State(web): State<WebState>, visit: Visit) -> PageResult {
    let mut conn = web.db.acquire().await?;
    let (live, gone) = (workers::list(&mut conn).await?, workers::gone(&mut conn).await?);
    drop(conn);
    let mut versions: Vec<&str> = live.iter().map(|worker| worker.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let content = html! {
        (ui::head("Workers", html! {}))
        (ui::live("workers", html! {
            @if versions.len() > 1 { (notice::hint(&format!("Workers of several versions run: {}.", versions.join(", ")))) }
            @if live.is_empty() {
                (ui::empty("No worker runs", html! { p { "Start one with " code { "millrace-worker" } ". Orders are taken meanwhile, and nothing is lost." } }))
            } @else { (live_table(&visit, &live)) }
            @if !gone.is_empty() { (ui::block("Gone in the last 15 minutes", gone_table(&visit, &gone))) }
            @for worker in live.iter().filter(|worker| !worker.running_jobs.is_empty()) { (running(&visit, worker)) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Workers", content).await?)
}

fn live_table(visit: &Visit, live: &[WorkerView]) -> Markup {
    let columns = [
        column("Host"),
        column("Places used"),
        column("Queues"),
        column("Version"),
        column("Since"),
        column("Heartbeat"),
    ];
    let rows: Vec<Row> = live
        .iter()
        .map(|worker| Row {
            link: None,
            cells: vec![
                html! { a href={ "/console/jobs?worker_id=" (worker.id) } { (worker.host) " " span.quiet { "process " (worker.pid) } } },
                html! {
                    (worker.running) " of " (worker.concurrency) " "
                    (chart::meter(worker.running, worker.concurrency.into(), &format!("{} of {}", worker.running, worker.concurrency)))
                },
                html! { (worker.queues.iter().map(|queue| queue.name()).collect::<Vec<_>>().join(", ")) },
                html! { (worker.version) },
                time::ago(visit, worker.since),
                time::ago(visit, worker.last_heartbeat),
            ],
        })
        .collect();
    table("Workers", &columns, &rows)
}

fn gone_table(visit: &Visit, gone: &[GoneWorker]) -> Markup {
    let columns = [column("Host"), column("How"), column("Gone"), column("Version")];
    let rows: Vec<Row> = gone
        .iter()
        .map(|worker| Row {
            link: None,
            cells: vec![
                html! { (worker.host) " " span.quiet { "process " (worker.pid) } },
                html! { (if worker.stopped { "it was stopped" } else { "it went silent" }) },
                time::both(visit, worker.gone_at),
                html! { (worker.version) },
            ],
        })
        .collect();
    table("Workers that are gone", &columns, &rows)
}

fn running(visit: &Visit, worker: &WorkerView) -> Markup {
    let columns = [column("Job"), column("Queue"), column("Attempt"), column("Since")];
    let rows: Vec<Row> = worker
        .running_jobs
        .iter()
        .map(|job| Row {
            link: Some(format!("/console/jobs/{}", job.id)),
            cells: vec![
                html! { (status::job_name(&job.kind)) },
                html! { (job.queue.name()) },
                html! { (job.attempt) },
                job.started_at.map_or_else(|| html! {}, |at| time::ago(visit, at)),
            ],
        })
        .collect();
    ui::block(&format!("Running on {}, process {}", worker.host, worker.pid), table("Running jobs", &columns, &rows))
}

async fn show_clock(State(web): State<WebState>, visit: Visit) -> PageResult {
    let clocks = schedule::clocks(&mut *web.db.acquire().await?).await?;
    let reaper = action::button("/console/clock/reaper", "Run the reaper now", Emphasis::Plain);
    let content = html! {
        (ui::head("Clock", html! { @if visit.may(Permission::InventoryWrite) { (reaper) } }))
        (ui::live("clock", html! {
            @if clocks.is_empty() {
                (ui::empty("No worker has run yet", html! { p { "Workers say here what they run by the clock." } }))
            } @else { (clock_table(&visit, &clocks)) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Clock", content).await?)
}

fn clock_table(visit: &Visit, clocks: &[ClockView]) -> Markup {
    let columns =
        [column("What"), column("State"), column("Schedule"), column("Last success"), column("Next"), column("Does")];
    let rows: Vec<Row> = clocks
        .iter()
        .map(|clock| Row {
            link: None,
            cells: vec![
                html! { (status::job_name(&clock.name)) },
                state(visit, clock),
                html! { code { (clock.schedule) } },
                clock.last_success_at.map_or_else(|| html! { span.quiet { "never" } }, |at| time::ago(visit, at)),
                time::ago(visit, clock.next_at),
                html! { (clock.what) },
            ],
        })
        .collect();
    table("What runs by the clock", &columns, &rows)
}

/// Late: no success for three periods. The period is the time from the last tick to the next.
fn state(visit: &Visit, clock: &ClockView) -> Markup {
    let period = clock.last_tick_at.map_or(TimeDelta::minutes(5), |tick| clock.next_at - tick);
    let late = visit.now - period * LATE_AFTER;
    if clock.next_at < late {
        status::badge(Tone::Bad, Icon::Alert, "No worker runs it")
    } else if clock.last_success_at.is_some_and(|at| at < late) {
        status::badge(Tone::Waiting, Icon::Clock, "Late")
    } else if clock.last_error.is_some() {
        status::badge(Tone::Waiting, Icon::Alert, "Failed last time")
    } else {
        status::badge(Tone::Good, Icon::Check, "On time")
    }
}

async fn run_reaper(State(web): State<WebState>, mut once: OnceForm) -> PageResult<Response> {
    let plan = Plan {
        delay: std::time::Duration::ZERO,
        max_attempts: web.settings.job_max_attempts,
        origin: once.visit.origin.clone(),
    };
    let principal = once.visit.principal()?.clone();
    let (_, rings) = reap::reap_manually(&web.db, &mut once.tx, &principal, &plan).await?;
    web.doorbell.ring(rings);
    once.leave(&and_say("/console/clock", "reaped")).await
}
