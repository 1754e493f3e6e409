//! Jobs: all of them with filters, and the page of one with its failed attempts.

use axum::extract::Path;
use maud::{Markup, html};
use shared::error::{Error, Kind, Resource, Result};
use shared::ops::jobs::{self, FailedAttempt, JobDetail, JobFilter, JobView};
use shared::page::Page;
use shared::queue::{JobState, Queue};
use shared::values::JobId;
use uuid::Uuid;

use super::frame::frame;
use crate::answer::{DoneNotice, PageResult};
use crate::form::{Form, reason};
use crate::page::console::{ConsoleFrame, Screen, page};
use crate::reader::Reader;
use crate::ui::banner::Flash;
use crate::ui::button::{self, Weight};
use crate::ui::dialog::{self, Ask};
use crate::ui::form::{self, Field};
use crate::ui::icon::Icon;
use crate::ui::pages::pages;
use crate::ui::table::{self, CellPlace, Table};
use crate::ui::{Tone, copy, facts, layout, rows, state, status, time, words};
use crate::visit::Visit;

pub struct JobsPage {
    pub jobs: Vec<JobView>,
    pub state: String,
    pub queue: String,
    pub kind: String,
    /// The fingerprint of an error.
    pub error: String,
    pub newer: Option<String>,
    pub older: Option<String>,
}

const PAGE: i64 = 50;

pub async fn jobs(visit: Visit) -> PageResult {
    let [state, queue, kind, error] =
        ["state", "queue", "kind", "error"].map(|name| visit.query(name).unwrap_or_default());
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let filter = JobFilter {
        state: STATES.into_iter().find(|(known, _)| known.name() == state).map(|(known, _)| known),
        queue: Queue::ALL.into_iter().find(|known| known.name() == queue),
        kind: given(&kind),
        error: given(&error),
        order_id: None,
    };
    let fields = [("state", &state), ("queue", &queue), ("kind", &kind), ("error", &error)];
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    let query: String = fields.map(|(name, value)| format!("{name}={}&", words::segment(value))).collect();
    let cursor = visit.query("cursor");
    let asked = Page::parse(Some(PAGE), cursor.as_deref(), &query)?;
    let found = jobs::list(&mut *visit.connection().await?, filter, asked).await?;
    let start = format!("/console/jobs?{query}");
    let shown = JobsPage {
        jobs: found.data,
        state,
        queue,
        kind,
        error,
        newer: cursor.map(|_| start.trim_end_matches(['&', '?']).to_owned()),
        older: found.next_cursor.map(|next| format!("{start}cursor={next}")),
    };
    Ok(visit.page(render(&frame(&visit)?, &shown)))
}

/// The states of a job with their words in the filter.
const STATES: [(JobState, &str); 5] = [
    (JobState::Dead, "Given up by us"),
    (JobState::Ready, "Due or scheduled"),
    (JobState::Running, "Running"),
    (JobState::Done, "Done"),
    (JobState::Discarded, "Given up by a person"),
];

const KINDS: [&str; 8] =
    ["process_payment", "ship_order", "deliver_order", "cancel_order", "reap", "audit", "retain", "noop"];

pub fn render(frame: &ConsoleFrame, shown: &JobsPage) -> Markup {
    let filtered = [&shown.state, &shown.queue, &shown.kind, &shown.error].iter().any(|text| !text.is_empty());
    let content = html! {
        (layout::title("Jobs", html! {}, html! {}))
        (layout::subtitle(html! { "Newest first. What is done is kept for an hour." }))
        (filters(shown, filtered))
        @if !shown.jobs.is_empty() {
            (list(&frame.reader, shown))
        } @else if filtered {
            (state::no_match("jobs", "/console/jobs"))
        } @else {
            (state::empty(Icon::Jobs, "There is no job.", "Orders and the clock make jobs.", html! {}))
        }
    };
    page(frame, Screen::Jobs, "Jobs", content)
}

fn filters(shown: &JobsPage, filtered: bool) -> Markup {
    let field = |name, label, value| Field { name, label, value, quiet_label: true, ..Field::default() };
    let mut states = vec![("", "Any state")];
    states.extend(STATES.iter().map(|(state, words)| (state.name(), *words)));
    let mut queues = vec![("", "Any queue")];
    let names: Vec<(&str, String)> =
        Queue::ALL.into_iter().map(|queue| (queue.name(), words::first_upper(queue.name()))).collect();
    queues.extend(names.iter().map(|(name, words)| (*name, words.as_str())));
    let kinds: Vec<(&str, String)> = KINDS.iter().map(|kind| (*kind, words::job_kind(kind))).collect();
    let mut options = vec![("", "Any kind")];
    options.extend(kinds.iter().map(|(kind, words)| (*kind, words.as_str())));
    let error = html! { @if !shown.error.is_empty() { input type="hidden" name="error" value=(shown.error); } };
    let fields = [
        form::select(&field("state", "State", &shown.state), &states),
        form::select(&field("kind", "Kind", &shown.kind), &options),
        form::select(&field("queue", "Queue", &shown.queue), &queues),
        error,
    ];
    form::filters("/console/jobs", "Filter jobs", &fields, (&[], false), filtered.then_some("/console/jobs"))
}

fn list(reader: &Reader, shown: &JobsPage) -> Markup {
    let columns = vec![
        table::text("Job", CellPlace::Title),
        table::text("State", CellPlace::Meta),
        table::text("Queue", CellPlace::Wide),
        table::number("Attempt", CellPlace::Meta),
        table::text("Due", CellPlace::End),
        table::text("Error", CellPlace::Meta),
    ];
    let rows = shown.jobs.iter().map(|job| row(reader, job).into()).collect();
    let mut jobs = Table::new("Jobs, newest first", columns, rows);
    jobs.list = true;
    jobs.sticky = true;
    let label = words::count(shown.jobs.len() as i64, "job on this page", "jobs on this page");
    html! {
        (table::table(jobs))
        (pages(&label, shown.newer.as_deref(), shown.older.as_deref()))
    }
}

fn row(reader: &Reader, job: &JobView) -> Vec<Markup> {
    vec![
        layout::link(&address(job.id), &words::job_kind(&job.kind)),
        status::of(status::job(job.state)),
        layout::quiet(html! { (words::first_upper(job.queue.name())) }),
        html! { (job.attempt) " of " (job.max_attempt) },
        time::with_ago(reader, job.run_at),
        html! { @if let Some(error) = &job.error { (layout::clip(error)) } },
    ]
}

fn address(id: JobId) -> String {
    format!("/console/jobs/{id}")
}

pub async fn job(visit: Visit, Path(id): Path<String>) -> PageResult {
    let detail = find(&visit, &id).await?;
    Ok(visit.page(render_one(&frame(&visit)?, &detail)))
}

async fn find(visit: &Visit, id: &str) -> Result<JobDetail> {
    jobs::get(&mut *visit.connection().await?, parse(id)?).await
}

fn parse(id: &str) -> Result<JobId> {
    id.parse().map_err(|_| Error::NotFound(Resource::Job))
}

pub async fn retry(visit: Visit, Path(id): Path<String>, form: Form) -> PageResult {
    let done = try_to_retry(&visit, &id, &form).await;
    back(&visit, &id, done, DoneNotice::JobRetried).await
}

async fn try_to_retry(visit: &Visit, id: &str, form: &Form) -> Result<()> {
    let id = parse(id)?;
    let Some(mut effect) = form.begin(visit).await? else { return Ok(()) };
    let (_, ring) = jobs::retry(&mut effect.tx, visit.caller()?, id, visit.state.max_attempts).await?;
    effect.commit(visit).await?;
    visit.state.doorbell.ring([ring]);
    Ok(())
}

pub async fn ask_discard(visit: Visit, Path(id): Path<String>) -> PageResult {
    let detail = find(&visit, &id).await?;
    let back = address(detail.job.id);
    let reason = Field { name: "reason", label: "Why", required: true, ..Field::default() };
    let asked = dialog::ask(&Ask {
        title: "Give up the job?",
        says: html! { p { "It never runs again. If it belongs to an order, that order waits until somebody moves it." } },
        fields: form::field(&reason),
        action: &format!("{back}/discard"),
        key: Uuid::now_v7(),
        weight: Weight::Danger,
        verb: "Give up the job",
        back: &back,
    });
    Ok(visit.page(page(&frame(&visit)?, Screen::Jobs, "Give up a job", asked)))
}

pub async fn discard(visit: Visit, Path(id): Path<String>, form: Form) -> PageResult {
    let done = try_to_discard(&visit, &id, &form).await;
    back(&visit, &id, done, DoneNotice::JobDiscarded).await
}

async fn try_to_discard(visit: &Visit, id: &str, form: &Form) -> Result<()> {
    let id = parse(id)?;
    let reason = reason(form)?.ok_or_else(|| Error::field("reason", "missing", "say why the job is given up"))?;
    let Some(mut effect) = form.begin(visit).await? else { return Ok(()) };
    jobs::discard(&mut effect.tx, visit.caller()?, id, Some(&reason)).await?;
    effect.commit(visit).await
}

/// Back to the job. What its state does not allow is said on its page, as it is now.
async fn back(visit: &Visit, id: &str, done: Result<()>, what: DoneNotice) -> PageResult {
    let error = match done {
        Ok(()) => return Ok(visit.see_done(&address(parse(id)?), what)),
        Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Invalid) => error,
        Err(error) => return Err(error.into()),
    };
    let mut frame = frame(visit)?;
    frame.flash = Some(Flash { tone: Tone::Bad, text: words::first_upper(&error.to_string()) });
    let markup = render_one(&frame, &find(visit, id).await?);
    Ok(visit.refused(error, markup))
}

fn render_one(frame: &ConsoleFrame, detail: &JobDetail) -> Markup {
    let reader = &frame.reader;
    let job = &detail.job;
    let (tone, sign, word) = status::job(job.state);
    let name = words::job_kind(&job.kind);
    let content = html! {
        (layout::title(&name, status::badge(tone, sign, word), html! {
            @if job.state == JobState::Dead {
                (button::post(Weight::Main, &format!("{}/retry", address(job.id)), Uuid::now_v7(), "Retry"))
                (button::ask(Weight::Danger, &format!("{}/discard", address(job.id)), "Give up…"))
            }
        }))
        @if let Some(error) = &job.error { (layout::subtitle(html! { (words::first_upper(error)) })) }
        (layout::section("about", "About", html! {}, facts::facts(&about(reader, detail))))
        (layout::section("attempts", "Failed attempts", html! {}, attempts(reader, detail)))
    };
    page(frame, Screen::Jobs, &name, content)
}

fn about(reader: &Reader, detail: &JobDetail) -> Vec<(&'static str, Markup)> {
    let job = &detail.job;
    let mut pairs = vec![
        ("Queue", html! { (words::first_upper(job.queue.name())) }),
        ("Attempt", html! { (job.attempt) " of " (job.max_attempt) }),
        ("Made", time::with_ago(reader, job.created_at)),
        ("Due", time::with_ago(reader, job.run_at)),
    ];
    if let Some(order) = job.order_id {
        pairs.push(("Order", layout::link(&format!("/console/orders/{order}"), "Open the order")));
    }
    if let Some(until) = job.lease_until {
        pairs.push(("Its worker holds it until", time::exact(reader, until)));
    }
    if let Some(at) = job.finished_at {
        pairs.push(("Ended", time::with_ago(reader, at)));
    }
    if let Some(error) = &job.error_fingerprint {
        let href = format!("/console/jobs?error={}", words::segment(error));
        pairs.push(("Same error", layout::link(&href, "Jobs that failed alike")));
    }
    if let Some(request) = &job.request_id {
        pairs.push(("Request", copy::copy("request id", request)));
    }
    pairs.push(("Id", copy::copy("job id", &job.id.to_string())));
    pairs
}

fn attempts(reader: &Reader, detail: &JobDetail) -> Markup {
    if detail.attempts.is_empty() {
        return layout::remark("No attempt has failed.");
    }
    rows::rows(&detail.attempts.iter().rev().map(|attempt| one(reader, attempt)).collect::<Vec<_>>())
}

fn one(reader: &Reader, attempt: &FailedAttempt) -> Markup {
    let place = attempt.host.as_deref().unwrap_or("a worker that is gone");
    let left = table::two_lines(
        html! { (attempt.attempt) ". " (words::first_upper(&attempt.error)) },
        html! { "on " (place) @if let Some(ms) = attempt.duration_ms { ", took " (time::milliseconds(ms)) } },
    );
    rows::spread(left, time::with_ago(reader, attempt.started_at.unwrap_or(attempt.ended_at)))
}
