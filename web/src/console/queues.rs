//! The queues: how much waits in each, and pausing one.

use axum::extract::State;
use axum::response::Response;
use chrono::TimeDelta;
use maud::{Markup, html};
use shared::error::{Error, Result};
use shared::ops::queues::{self, PauseQueue, QueueView};
use shared::principal::Permission;
use shared::queue::Queue;
use shared::values::Note;

use super::shell;
use crate::WebState;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::{self, Field};
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

fn state(visit: &Visit, queue: &QueueView) -> Markup {
    let Some(pause) = &queue.pause else { return status::badge(Tone::Good, Icon::Play, "Running") };
    html! {
        (status::badge(Tone::Waiting, Icon::Pause, "Paused")) " " (time::ago(visit, pause.since))
        @if let Some(by) = &pause.by { " by " (by.name) }
        @if let Some(reason) = &pause.reason { ": " (reason) }
        @if let Some(at) = pause.resume_at { ", resumes " (time::ago(visit, at)) }
    }
}

/// For how long a queue may be paused: words, and minutes. Nothing: until somebody resumes it.
const UNTIL: [(&str, &str); 3] = [("", "Until somebody resumes it"), ("15", "For 15 minutes"), ("60", "For an hour")];

/// What else waits while a queue is paused.
fn consequence(queue: Queue) -> &'static str {
    match queue {
        Queue::High => "Nobody is charged meanwhile, and no order is cancelled.",
        Queue::Default => "Nothing is shipped meanwhile.",
        Queue::Low => "Nothing is marked as delivered, and neither the reaper nor the audit runs.",
    }
}

fn switch(queue: &QueueView) -> Markup {
    let name = queue.name.name();
    let here = format!("/console/queues/{name}");
    if queue.paused {
        return action::button(&format!("{here}/resume"), "Resume", Emphasis::Primary);
    }
    action::ask(
        "Pause",
        Emphasis::Plain,
        html! {
            p { "Within two seconds no worker takes jobs from it. Running ones finish. " (consequence(queue.name)) }
            (action::form(&format!("{here}/pause"), "Pause", Emphasis::Primary, html! {
                (Field::text("reason", "Reason").within(name).max(500).show())
                (field::select_within(name, "minutes", "How long", &UNTIL.map(|(minutes, words)| (minutes.to_owned(), words.to_owned())), ""))
            }))
        },
    )
}

async fn pause(State(web): State<WebState>, InPath(name): InPath<String>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let reason: Option<Note> = once.fields.optional("reason")?;
        if reason.is_none() {
            return Err(Error::field("reason", "missing_field", "say why the queue is paused"));
        }
        let minutes: Option<u32> = once.fields.optional("minutes")?;
        let resume_at = minutes.map(|minutes| once.visit.now + TimeDelta::minutes(minutes.into()));
        queues::pause(&mut once.tx, once.visit.principal()?, &name, &PauseQueue { reason, resume_at }).await
    };
    let done = done.await;
    finish(&web, once, done, "paused").await
}

async fn resume(State(web): State<WebState>, InPath(name): InPath<String>, mut once: OnceForm) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    let done = queues::resume(&mut once.tx, &principal, &name).await;
    finish(&web, once, done, "resumed").await
}

async fn finish(web: &WebState, once: OnceForm, done: Result<QueueView>, word: &str) -> PageResult<Response> {
    match done {
        Ok(_) => once.leave(&and_say("/console/queues", word)).await,
        Err(error) => {
            let page = page(web, &once.visit, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}
