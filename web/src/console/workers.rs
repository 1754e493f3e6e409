//! The workers that are alive, and what each runs.

use maud::{Markup, html};
use shared::ops::workers::{self, RunningJob, WorkerView};

use super::frame::frame;
use crate::answer::PageResult;
use crate::page::console::{ConsoleFrame, Screen, page};
use crate::reader::Reader;
use crate::ui::icon::Icon;
use crate::ui::{layout, rows, state, time, words};
use crate::visit::Visit;

pub async fn workers(visit: Visit) -> PageResult {
    let alive = workers::list(&mut *visit.connection().await?).await?;
    Ok(visit.page(render(&frame(&visit)?, &alive)))
}

fn render(frame: &ConsoleFrame, alive: &[WorkerView]) -> Markup {
    let versions: std::collections::BTreeSet<&str> = alive.iter().map(|worker| worker.version.as_str()).collect();
    let running: i64 = alive.iter().map(|worker| worker.running).sum();
    let content = html! {
        (layout::title("Workers", html! {}, html! {}))
        (layout::subtitle(html! {
            (words::count(alive.len() as i64, "worker", "workers")) ", " (words::count(running, "job runs", "jobs run"))
            @if versions.len() > 1 { ". They have different versions: " (versions.into_iter().collect::<Vec<_>>().join(", ")) }
        }))
        @if alive.is_empty() {
            (state::empty(Icon::Worker, "No worker is alive.", "Orders are taken, and wait. Start millrace-worker.", html! {}))
        } @else {
            @for (place, worker) in alive.iter().enumerate() { (one(&frame.reader, place, worker)) }
        }
    };
    page(frame, Screen::Workers, "Workers", content)
}

fn one(reader: &Reader, place: usize, worker: &WorkerView) -> Markup {
    let queues: Vec<&str> = worker.queues.iter().map(|queue| queue.name()).collect();
    let beside = layout::quiet(html! {
        "process " (worker.pid) ", version " (worker.version) ", takes " (queues.join(", "))
        ", since " (time::with_ago(reader, worker.since)) ", last seen " (time::exact(reader, worker.last_heartbeat))
    });
    let content = if worker.running_jobs.is_empty() {
        layout::remark("It waits for jobs.")
    } else {
        rows::rows(&worker.running_jobs.iter().map(|job| running(reader, job)).collect::<Vec<_>>())
    };
    layout::section(&format!("worker-{place}"), &worker.host, beside, content)
}

fn running(reader: &Reader, job: &RunningJob) -> Markup {
    let left = html! {
        (layout::link(&format!("/console/jobs/{}", job.id), &words::job_kind(&job.kind)))
        @if let Some(order) = job.order_id { " " (layout::quiet(layout::link(&format!("/console/orders/{order}"), "its order"))) }
    };
    let right = html! {
        "attempt " (job.attempt) @if let Some(at) = job.started_at { ", " (time::duration(reader.now - at)) }
    };
    rows::spread(left, right)
}
