//! Jobs: a list with filters, and one job with its attempts.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use shared::error::Result;
use shared::ops::jobs::{self, JobDetail, JobFilter, JobView};
use shared::page::Page;
use shared::principal::Permission;
use shared::queue::{JobState, Queue};
use shared::values::JobId;

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::{self, Field};
use crate::ui::list::{Row, column, filters, numbers, pager, query, table, tabs};
use crate::ui::{self, notice, status, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default()
        .page("/console/jobs", list, reads(Permission::OpsRead))
        .page("/console/jobs/{id}", show, reads(Permission::OpsRead))
        .form("/console/jobs/{id}/retry", retry, changes(Permission::OpsWrite))
        .form("/console/jobs/{id}/discard", discard, changes(Permission::OpsWrite))
}

const STATES: [JobState; 5] = [JobState::Ready, JobState::Running, JobState::Dead, JobState::Done, JobState::Discarded];

fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Ready => "ready",
        JobState::Running => "running",
        JobState::Done => "done",
        JobState::Dead => "dead",
        JobState::Discarded => "discarded",
    }
}

async fn list(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let found = jobs::list(&mut *web.db.acquire().await?, filter(&visit, &asked)?, page).await?;
    let content = html! {
        (ui::head("Jobs", html! {}))
        (tabs("State", &state_tabs(&visit, &asked)))
        (filters(&visit, &asked, html! {
            @for kept in ["state", "order_id", "error", "worker_id", "request_id", "bulk_id"] {
                @if let Some(value) = asked.given(kept) { input type="hidden" name=(kept) value=(value); }
            }
            (field::select("kind", "Kind", &kinds(&asked), asked.text("kind")))
            (field::select("queue", "Queue", &queues(), asked.text("queue")))
            (Field::text("from", "Written from").kind("date").optional().sent(&asked).show())
            (Field::text("to", "Before").kind("date").optional().sent(&asked).show())
        }))
        @if let Some(words) = only(&asked) { p.quiet { (words) } }
        (ui::live("jobs", html! {
            @if found.data.is_empty() {
                (ui::empty("No such job", html! { p { "What is done is kept for an hour. What is dead stays until somebody decides." } }))
            } @else { (rows(&visit, &found.data)) (pager(&visit, found.next_cursor.as_deref())) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Jobs", content).await?)
}

/// What a link from another page has chosen, in words.
fn only(asked: &Fields) -> Option<String> {
    let chosen = [
        ("order_id", "of one order"),
        ("error", "that failed of one error"),
        ("worker_id", "that one worker runs or ran last"),
        ("request_id", "that one request caused"),
        ("bulk_id", "that one action on many took"),
    ];
    let words: Vec<&str> =
        chosen.into_iter().filter(|(name, _)| asked.given(name).is_some()).map(|(_, words)| words).collect();
    (!words.is_empty()).then(|| format!("Only jobs {}.", words.join(", ")))
}

/// The kinds of jobs, and the one that is asked for.
fn kinds(asked: &Fields) -> Vec<(String, String)> {
    let known = status::JOBS.map(|(kind, _)| kind);
    let unknown = asked.given("kind").filter(|kind| !known.contains(kind));
    let choice = |kind: &str| (kind.to_owned(), status::job_name(kind).to_owned());
    std::iter::once((String::new(), "All".to_owned())).chain(known.into_iter().chain(unknown).map(choice)).collect()
}

fn queues() -> Vec<(String, String)> {
    let choice = |queue: Queue| (queue.name().to_owned(), queue.name().to_owned());
    std::iter::once((String::new(), "All".to_owned())).chain(Queue::ALL.into_iter().map(choice)).collect()
}

fn filter(visit: &Visit, asked: &Fields) -> Result<JobFilter> {
    Ok(JobFilter {
        state: asked.given("state").and_then(|name| STATES.into_iter().find(|state| state_name(*state) == name)),
        kind: asked.given("kind").map(ToOwned::to_owned),
        queue: asked.given("queue").and_then(|name| name.parse::<Queue>().ok()),
        order_id: asked.optional("order_id")?,
        error: asked.given("error").map(ToOwned::to_owned),
        from: asked.given("from").and_then(|text| time::parse(text, visit.zone)),
        to: asked.given("to").and_then(|text| time::parse(text, visit.zone)),
        worker_id: asked.optional("worker_id")?,
        request_id: asked.given("request_id").map(ToOwned::to_owned),
        bulk_id: asked.optional("bulk_id")?,
    })
}

fn state_tabs(visit: &Visit, asked: &Fields) -> Vec<(String, String, bool)> {
    let open = asked.text("state");
    let tab = |words: &str, name: Option<&'static str>| {
        (words.to_owned(), query(visit, &[("state", name), ("cursor", None)]), open == name.unwrap_or_default())
    };
    let mut tabs = vec![tab("All", None)];
    tabs.extend(STATES.into_iter().map(|state| tab(status::job_word(state), Some(state_name(state)))));
    tabs
}

pub fn rows(visit: &Visit, jobs: &[JobView]) -> Markup {
    let columns =
        [column("Job"), column("State"), column("Queue"), numbers("Attempt"), column("Due"), column("Last error")];
    let rows: Vec<Row> = jobs
        .iter()
        .map(|job| Row {
            link: Some(format!("/console/jobs/{}", job.id)),
            cells: vec![
                html! { (status::job_name(&job.kind)) },
                status::job(job.state),
                html! { (job.queue.name()) },
                html! { (job.attempt) " of " (job.max_attempt) },
                time::ago(visit, job.run_at),
                html! { (job.error.as_deref().unwrap_or("")) },
            ],
        })
        .collect();
    table("Jobs", &columns, &rows)
}

async fn show(State(web): State<WebState>, visit: Visit, InPath(id): InPath<JobId>) -> PageResult {
    Ok(page(&web, &visit, id, None).await?)
}

async fn page(web: &WebState, visit: &Visit, id: JobId, problem: Option<&str>) -> Result<Markup> {
    let detail = jobs::get(&mut *web.db.acquire().await?, id).await?;
    let job = &detail.job;
    let content = html! {
        (ui::head_with(status::job_name(&job.kind), html! { (status::job(job.state)) " · queue " (job.queue.name()) }, html! {}))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        (ui::live("job", html! {
            (buttons(visit, job))
            (facts(visit, &detail))
            (attempts(visit, &detail))
        }))
    };
    shell::live_page(web, visit, status::job_name(&job.kind), content).await
}

fn buttons(visit: &Visit, job: &JobView) -> Markup {
    if job.state != JobState::Dead || !visit.may(Permission::OpsWrite) {
        return html! {};
    }
    let here = format!("/console/jobs/{}", job.id);
    html! {
        section.next.attention aria-label="What can be done" {
            p.lead { "It was tried " (ui::plural(i64::from(job.attempt), "time", "times")) " and given up: " q { (job.error.as_deref().unwrap_or("no error")) } }
            div.actions {
                (action::button(&format!("{here}/retry"), "Retry", Emphasis::Primary))
                (action::ask("Give up", Emphasis::Danger, html! {
                    p { "It never runs again. If it belongs to an order, somebody must move that order by hand." }
                    (action::button(&format!("{here}/discard"), "Give up", Emphasis::Danger))
                }))
            }
        }
    }
}

fn facts(visit: &Visit, detail: &JobDetail) -> Markup {
    let job = &detail.job;
    let none = || html! { span.quiet { "none" } };
    ui::block(
        "About it",
        ui::facts(&[
            ("Kind", html! { code { (job.kind) } " version " (job.version) }),
            ("Attempts", html! { (job.attempt) " of " (job.max_attempt) }),
            ("Due", time::both(visit, job.run_at)),
            ("Written", time::both(visit, job.created_at)),
            ("Lease until", job.lease_until.map_or_else(none, |at| time::both(visit, at))),
            ("Ended", job.finished_at.map_or_else(none, |at| time::both(visit, at))),
            (
                "Order",
                job.order_id
                    .map_or_else(none, |id| html! { a href={ "/console/search?q=" (id) } { "Open the order" } }),
            ),
            (
                "Worker",
                job.worker_id.map_or_else(
                    none,
                    |id| html! { (ui::id(id)) " " a href={ "/console/jobs?worker_id=" (id) } { "its jobs" } },
                ),
            ),
            (
                "Request",
                job.request_id.as_deref().map_or_else(
                    none,
                    |id| html! { (ui::id(id)) " " a href={ "/console/jobs?" (of_request(id)) } { "its jobs" } },
                ),
            ),
            (
                "Error",
                job.error_fingerprint.as_deref().map_or_else(none, |mark| {
                    html! {
                        a href={ "/console/failures/" (mark) } { "All that failed like this" }
                    }
                }),
            ),
            ("Arguments", html! { code { (detail.args) } }),
            ("Id", ui::id(job.id)),
        ]),
    )
}

fn of_request(id: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("request_id", id).finish()
}

fn attempts(visit: &Visit, detail: &JobDetail) -> Markup {
    if detail.attempts.is_empty() {
        return html! {};
    }
    let columns = [column("Attempt"), column("Ended"), numbers("Took"), column("On"), column("How"), column("Error")];
    let rows: Vec<Row> = detail
        .attempts
        .iter()
        .rev()
        .map(|attempt| Row {
            link: None,
            cells: vec![
                html! { (attempt.attempt) },
                time::both(visit, attempt.ended_at),
                html! { (attempt.duration_ms.map(time::millis).unwrap_or_default()) },
                html! { (attempt.host.as_deref().unwrap_or("unknown")) },
                html! { (attempt.outcome.replace('_', " ")) },
                html! { (attempt.error) },
            ],
        })
        .collect();
    ui::block("Attempts that failed", table("Attempts that failed", &columns, &rows))
}

async fn retry(State(web): State<WebState>, InPath(id): InPath<JobId>, mut once: OnceForm) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    match jobs::retry(&mut once.tx, &principal, id, web.settings.job_max_attempts).await {
        Ok((_, ring)) => {
            let left = once.leave(&and_say(&format!("/console/jobs/{id}"), "retried")).await?;
            web.doorbell.ring([ring]);
            Ok(left)
        }
        Err(error) => {
            let page = page(&web, &once.visit, id, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

async fn discard(State(web): State<WebState>, InPath(id): InPath<JobId>, mut once: OnceForm) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    match jobs::discard(&mut once.tx, &principal, id).await {
        Ok(_) => once.leave(&and_say(&format!("/console/jobs/{id}"), "discarded")).await,
        Err(error) => {
            let page = page(&web, &once.visit, id, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}
