//! The queues: how much waits in each, and pausing one.

use axum::extract::State;
use axum::response::Response;
use chrono::TimeDelta;
use maud::{Markup, html};
use shared::error::Result;
use shared::ops::queues::{self, QueueView};
use shared::principal::Permission;
use shared::queue::Queue;

use super::shell;
use crate::WebState;
use crate::once::{OnceForm, and_say};
use crate::path::Path;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::icon::Icon;
use crate::ui::list::{Row, column, numbers, table};
use crate::ui::status::{self, Tone};
use crate::ui::{self, notice, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default()
        .page("/console/queues", show, reads(Permission::OpsRead))
        .form("/console/queues/{name}/pause", pause, changes(Permission::OpsWrite))
        .form("/console/queues/{name}/resume", resume, changes(Permission::OpsWrite))
}

async fn show(State(web): State<WebState>, visit: Visit) -> PageResult {
    Ok(page(&web, &visit, None).await?)
}

async fn page(web: &WebState, visit: &Visit, problem: Option<&str>) -> Result<Markup> {
    let queues = queues::list(&mut *web.db.acquire().await?).await?;
    let content = html! {
        (ui::head("Queues", html! {}))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        (ui::live("queues", queue_table(visit, &queues)))
    };
    shell::live_page(web, visit, "Queues", content).await
}

fn queue_table(visit: &Visit, queues: &[QueueView]) -> Markup {
    let columns = [
        column("Queue"),
        column("State"),
        numbers("Ready"),
        numbers("Scheduled"),
        numbers("Running"),
        numbers("Dead"),
        column("Oldest due"),
        column(""),
    ];
    let rows: Vec<Row> = queues
        .iter()
        .map(|queue| Row {
            link: Some(format!("/console/jobs?queue={}", queue.name.name())),
            cells: vec![
                html! { (queue.name.name()) },
                state(visit, queue),
                html! { (ui::number(queue.ready)) },
                html! { (ui::number(queue.scheduled)) },
                html! { (ui::number(queue.running)) },
                html! { (ui::number(queue.dead)) },
                html! { @if queue.oldest_ready_seconds > 0 { (time::span(TimeDelta::seconds(queue.oldest_ready_seconds))) } @else { span.quiet { "–" } } },
                html! { @if visit.may(Permission::OpsWrite) { (switch(queue)) } },
            ],
        })
        .collect();
    table("Queues", &columns, &rows)
}

fn state(_visit: &Visit, queue: &QueueView) -> Markup {
    if queue.paused {
        status::badge(Tone::Waiting, Icon::Pause, "Paused")
    } else {
        status::badge(Tone::Good, Icon::Play, "Running")
    }
}

/// What else waits while a queue is paused.
fn consequence(queue: Queue) -> &'static str {
    match queue {
        Queue::High => "Nobody is charged meanwhile, and no order is cancelled.",
        Queue::Default => "Nothing is shipped meanwhile.",
        Queue::Low => "Nothing is marked as delivered, and neither the reaper nor the audit runs.",
    }
}

fn switch(queue: &QueueView) -> Markup {
    let here = format!("/console/queues/{}", queue.name.name());
    if queue.paused {
        return action::button(&format!("{here}/resume"), "Resume", Emphasis::Primary);
    }
    action::ask(
        "Pause",
        Emphasis::Plain,
        html! {
            p { "Within two seconds no worker takes jobs from it. Running ones finish. " (consequence(queue.name)) }
            (action::button(&format!("{here}/pause"), "Pause", Emphasis::Primary))
        },
    )
}

async fn pause(State(web): State<WebState>, Path(name): Path<String>, once: OnceForm) -> PageResult<Response> {
    set(&web, &name, once, true, "paused").await
}

async fn resume(State(web): State<WebState>, Path(name): Path<String>, once: OnceForm) -> PageResult<Response> {
    set(&web, &name, once, false, "resumed").await
}

async fn set(web: &WebState, name: &str, mut once: OnceForm, paused: bool, done: &str) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    match queues::set_paused(&mut once.tx, &principal, name, paused).await {
        Ok(_) => once.leave(&and_say("/console/queues", done)).await,
        Err(error) => {
            let page = page(web, &once.visit, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}
