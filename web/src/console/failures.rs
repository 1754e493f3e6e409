//! What jobs are dead of, and doing something about all of them at once: preview, canary, progress.

use std::collections::HashMap;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use shared::error::{Error, Resource, Result};
use shared::ops::bulk::{self, BulkAction, BulkFilter, BulkPreview, BulkState, BulkView, StartBulk};
use shared::ops::errors::{self, ErrorGroup};
use shared::ops::jobs::{self, JobFilter};
use shared::page::Page;
use shared::principal::Permission;
use shared::queue::{JobState, Plan};
use shared::values::whole_number::WholeNumber;
use uuid::Uuid;

use super::{jobs as job_pages, shell};
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::{self, Field};
use crate::ui::icon::Icon;
use crate::ui::list::{Row, column, numbers, segment, table};
use crate::ui::money::sums;
use crate::ui::status::{self, Tone};
use crate::ui::{self, chart, notice, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let (read, change) = (reads(Permission::OpsRead), changes(Permission::OpsWrite));
    PageRoutes::default()
        .page("/console/failures", list, read)
        .page("/console/failures/{fingerprint}", show, read)
        .page("/console/bulk/new", preview_page, read)
        .form("/console/bulk/new", start, change)
        .page("/console/bulk/{id}", progress, read)
        .form("/console/bulk/{id}/continue", go_on, change)
        .form("/console/bulk/{id}/stop", stop, change)
}

async fn list(State(web): State<WebState>, visit: Visit) -> PageResult {
    let mut conn = web.db.acquire().await?;
    let groups = errors::list(&mut conn).await?;
    let fingerprints: Vec<&str> = groups.iter().map(|group| group.fingerprint.as_str()).collect();
    let hours = errors::last_day(&mut conn, &fingerprints).await?;
    let running = bulk::list(&mut conn, &Page::parse(Some(5), None, "")?).await?.data;
    drop(conn);
    let content = html! {
        (ui::head("Failures", html! {}))
        (ui::live("failures", html! {
            @if groups.is_empty() {
                (ui::empty("No job is dead", html! { p { "When one has failed for the last time, it waits here for you." } }))
            } @else { (rows(&visit, &groups, &hours)) }
            @if !running.is_empty() { (ui::block("Last replays", bulk_rows(&visit, &running))) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Failures", content).await?)
}

fn rows(visit: &Visit, groups: &[ErrorGroup], hours: &HashMap<String, Vec<i64>>) -> Markup {
    let columns = [
        column("Error"),
        column("Job"),
        numbers("Dead"),
        numbers("Orders"),
        numbers("At risk"),
        column("Last 24 hours"),
        column("First"),
        column("Last"),
    ];
    let rows: Vec<Row> = groups
        .iter()
        .map(|group| Row {
            link: Some(format!("/console/failures/{}", segment(&group.fingerprint))),
            cells: vec![
                html! { (group.error) },
                html! { (status::job_name(&group.kind)) },
                html! { (ui::number(group.dead)) @if group.more { "+" } },
                html! { (ui::number(group.orders)) @if group.at_least { "+" } },
                html! { @if group.at_least { "≥ " } (sums(&group.at_risk)) },
                hours.get(&group.fingerprint).map_or_else(|| html! {}, |hours| line(hours)),
                group.first_seen.map_or_else(|| html! {}, |at| time::ago(visit, at)),
                group.last_seen.map_or_else(|| html! {}, |at| time::ago(visit, at)),
            ],
        })
        .collect();
    table("Failures", &columns, &rows)
}

/// The failed attempts of the last day, hour by hour.
#[expect(clippy::cast_precision_loss, reason = "a small line shows no digits")]
fn line(hours: &[i64]) -> Markup {
    let values: Vec<f64> = hours.iter().map(|count| *count as f64).collect();
    let words = format!("{} failed attempts in 24 hours", ui::number(hours.iter().sum()));
    chart::sparkline(&values, &words)
}

async fn show(State(web): State<WebState>, visit: Visit, InPath(fingerprint): InPath<String>) -> PageResult {
    let mut conn = web.db.acquire().await?;
    let groups = errors::of_fingerprint(&mut conn, &fingerprint).await?;
    let filter = JobFilter { state: Some(JobState::Dead), error: Some(fingerprint.clone()), ..JobFilter::default() };
    let newest = jobs::list(&mut conn, filter, Page::parse(Some(20), None, "")?).await?.data;
    drop(conn);
    let title = groups.first().map_or("This error is gone", |group| group.error.as_str());
    let new = |action: &str| format!("/console/bulk/new?action={action}&error={}", segment(&fingerprint));
    let content = html! {
        (ui::head(title, html! {
            @if visit.may(Permission::OpsWrite) && !groups.is_empty() {
                (action::link(&new("retry"), "Replay…", Emphasis::Primary))
                (action::link(&new("discard"), "Give up…", Emphasis::Danger))
            }
        }))
        (ui::live("failure", html! {
            @if groups.is_empty() { (ui::empty("No job is dead of this any more", html! { p { a href="/console/failures" { "All failures" } } })) }
            @for group in &groups { (about(&visit, group)) }
            @if !newest.is_empty() { (ui::block("The newest of them", job_pages::rows(&visit, &newest))) }
        }))
    };
    Ok(shell::live_page(&web, &visit, title, content).await?)
}

fn about(visit: &Visit, group: &ErrorGroup) -> Markup {
    ui::facts(&[
        ("Job", html! { (status::job_name(&group.kind)) }),
        ("Dead", html! { (ui::number(group.dead)) @if group.more { " and more" } }),
        ("Open orders that wait", html! { (ui::number(group.orders)) @if group.at_least { " and more" } }),
        ("Money at risk", html! { @if group.at_least { "at least " } (sums(&group.at_risk)) }),
        ("First", group.first_seen.map_or_else(|| html! {}, |at| time::both(visit, at))),
        ("Last", group.last_seen.map_or_else(|| html! {}, |at| time::both(visit, at))),
    ])
}

// ---- preview and start -----------------------------------------------------------------------

const ACTIONS: [(BulkAction, &str); 3] =
    [(BulkAction::Retry, "retry"), (BulkAction::Discard, "discard"), (BulkAction::CancelOrders, "cancel_orders")];

fn action_of(asked: &Fields) -> Result<BulkAction> {
    let found = ACTIONS.iter().find(|(_, name)| *name == asked.text("action"));
    found.map(|(action, _)| *action).ok_or(Error::NotFound(Resource::Bulk))
}

const fn verb(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Retry => "Replay",
        BulkAction::Discard => "Give up",
        BulkAction::CancelOrders => "Cancel",
    }
}

/// What the forms and links name: jobs by their error, kind and queue, orders by their status, customer and time.
const FILTERS: [&str; 7] = ["error", "kind", "queue", "status", "customer_id", "from", "to"];

fn filter(visit: &Visit, asked: &Fields) -> Result<BulkFilter> {
    let status = asked
        .given("status")
        .and_then(|name| shared::orders::status::Status::ALL.into_iter().find(|status| status.name() == name));
    Ok(BulkFilter {
        kind: asked.given("kind").map(ToOwned::to_owned),
        queue: asked.optional("queue")?,
        error: asked.given("error").map(ToOwned::to_owned),
        status,
        customer_id: asked.optional("customer_id")?,
        from: asked.given("from").and_then(|text| time::parse(text, visit.zone)),
        to: asked.given("to").and_then(|text| time::parse(text, visit.zone)),
    })
}

async fn preview_page(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    Ok(preview(&web, &visit, &asked, None).await?)
}

async fn preview(web: &WebState, visit: &Visit, asked: &Fields, problem: Option<&str>) -> Result<Markup> {
    let action = action_of(asked)?;
    let found = bulk::preview(&mut *web.db.acquire().await?, action, &filter(visit, asked)?, None).await?;
    let title = match action {
        BulkAction::Retry => "Replay dead jobs",
        BulkAction::Discard => "Give up dead jobs",
        BulkAction::CancelOrders => "Cancel orders",
    };
    let content = html! {
        (ui::head(title, html! {}))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        @if found.count == 0 {
            (ui::empty("Nothing is selected", html! { p { a href="/console/failures" { "All failures" } } }))
        } @else {
            p.lead { (sentence(visit, action, &found)) }
            (start_form(action, asked, &found))
        }
    };
    shell::still_page(web, visit, title, content).await
}

fn sentence(visit: &Visit, action: BulkAction, found: &BulkPreview) -> Markup {
    let things = match action {
        BulkAction::CancelOrders => ui::plural(found.count, "order", "orders"),
        _ => ui::plural(found.count, "dead job", "dead jobs"),
    };
    html! {
        (verb(action)) " " b { (things) @if found.more { " and more" } } ". "
        @if action == BulkAction::CancelOrders { "They are worth " } @else { (ui::plural(found.orders, "open order waits", "open orders wait")) " on them, worth " }
        b { @if found.at_least { "at least " } (sums(&found.money)) } ". "
        @if found.over > 0 { (ui::plural(found.over, "job belongs", "jobs belong")) " to orders that are over, and will do nothing. " }
        @if let Some(at) = found.oldest { "The oldest is from " (time::ago(visit, at)) "." }
    }
}

fn start_form(action: BulkAction, asked: &Fields, found: &BulkPreview) -> Markup {
    let upto = found.upto.map(|id| id.to_string()).unwrap_or_default();
    html! {
        form.stack method="post" action="/console/bulk/new" {
            (action::key())
            (action::hidden(&[("action", asked.text("action")), ("upto", &upto), ("expected", &found.count.to_string())]))
            @for name in FILTERS { @if let Some(value) = asked.given(name) { (action::hidden(&[(name, value)])) } }
            @if action == BulkAction::Retry {
                (field::tick("canary", "Try one first, with a single attempt. The others follow only if it succeeds.", true))
            }
            (Field::text("reason", "Reason").hint("It stands in the activity and on each order's timeline.").max(500).show())
            button class=(if action == BulkAction::Retry { "button primary" } else { "button danger" }) { (verb(action)) " them" }
        }
    }
}

async fn start(State(web): State<WebState>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let asked = StartBulk {
            action: action_of(&once.fields)?,
            filter: filter(&once.visit, &once.fields)?,
            reason: once.fields.optional("reason")?,
            dry_run: false,
            canary: once.fields.is_on("canary"),
            upto: once.fields.optional("upto")?,
            expected: once.fields.optional("expected")?.map(WholeNumber),
        };
        let plan = plan(&web, &once.visit);
        bulk::start(&mut once.tx, once.visit.principal()?, &asked, &plan).await
    };
    match done.await {
        Ok((view, rings)) => {
            let left = once.leave(&and_say(&format!("/console/bulk/{}", view.id), "started")).await?;
            web.doorbell.ring(rings);
            Ok(left)
        }
        Err(error) => {
            let page = preview(&web, &once.visit, &once.fields, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

fn plan(web: &WebState, visit: &Visit) -> Plan {
    Plan { delay: std::time::Duration::ZERO, max_attempts: web.settings.job_max_attempts, origin: visit.origin.clone() }
}

// ---- progress --------------------------------------------------------------------------------

async fn progress(State(web): State<WebState>, visit: Visit, InPath(id): InPath<Uuid>) -> PageResult {
    let view = bulk::get(&mut *web.db.acquire().await?, id).await?;
    let content = html! {
        (ui::head_with(&format!("{} of {}", noun(view.action), ui::number(view.total)), html! {
            "By " (view.by.name) " " (time::both(&visit, view.created_at))
            @if let Some(reason) = &view.reason { " · " (reason) }
        }, html! {}))
        (ui::live("bulk", how_far(&visit, &view)))
    };
    Ok(shell::live_page(&web, &visit, noun(view.action), content).await?)
}

const fn noun(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Retry => "Replay",
        BulkAction::Discard => "Giving up",
        BulkAction::CancelOrders => "Cancellation",
    }
}

fn state(state: BulkState) -> Markup {
    match state {
        BulkState::Canary => status::badge(Tone::Busy, Icon::Activity, "One is tried first"),
        BulkState::Halted => status::badge(Tone::Bad, Icon::Alert, "Halted: the first one failed"),
        BulkState::Running => status::badge(Tone::Busy, Icon::Activity, "Running"),
        BulkState::Stopped => status::badge(Tone::Waiting, Icon::Pause, "Stopped"),
        BulkState::Done => status::badge(Tone::Good, Icon::Check, "Done"),
    }
}

fn how_far(visit: &Visit, view: &BulkView) -> Markup {
    let here = format!("/console/bulk/{}", view.id);
    let runs = matches!(view.state, BulkState::Canary | BulkState::Running);
    let waits = matches!(view.state, BulkState::Halted | BulkState::Stopped);
    html! {
        section.next.attention[waits] aria-label="How far it is" {
            p.lead { (state(view.state)) " " (ui::number(view.done)) " of " (ui::number(view.total)) " taken" }
            (chart::meter(view.done, view.total, &format!("{} of {}", view.done, view.total)))
            @if let Some(error) = &view.error { p { "The first one failed again: " q { (error) } ". The others were not touched." } }
            @if visit.may(Permission::OpsWrite) { div.actions {
                @if runs { (action::button(&format!("{here}/stop"), "Stop", Emphasis::Danger)) }
                @if waits { (action::button(&format!("{here}/continue"), "Go on with the others", Emphasis::Primary)) }
            } }
        }
        (ui::block("So far", ui::facts(&[
            ("Taken", html! { (ui::number(view.done)) }),
            ("Died again", html! { (ui::number(view.failed)) }),
            ("Refused", html! { (ui::number(view.refused)) }),
            ("Last step", time::both(visit, view.updated_at)),
            ("First one", canary(view)),
        ])))
    }
}

fn canary(view: &BulkView) -> Markup {
    html! { @if let Some(job) = view.canary { a href={ "/console/jobs/" (job) } { "Open the job" } } @else { span.quiet { "none" } } }
}

fn bulk_rows(visit: &Visit, views: &[BulkView]) -> Markup {
    let columns =
        [column("What"), column("State"), numbers("Taken"), numbers("Died again"), column("By"), column("Begun")];
    let rows: Vec<Row> = views
        .iter()
        .map(|view| Row {
            link: Some(format!("/console/bulk/{}", view.id)),
            cells: vec![
                html! { (noun(view.action)) " of " (ui::number(view.total)) },
                state(view.state),
                html! { (ui::number(view.done)) },
                html! { (ui::number(view.failed)) },
                html! { (view.by.name) },
                time::ago(visit, view.created_at),
            ],
        })
        .collect();
    table("Replays", &columns, &rows)
}

async fn go_on(State(web): State<WebState>, InPath(id): InPath<Uuid>, mut once: OnceForm) -> PageResult<Response> {
    let (principal, plan) = (once.visit.principal()?.clone(), plan(&web, &once.visit));
    let (_, rings) = bulk::go_on(&mut once.tx, &principal, id, &plan).await?;
    let left = once.leave(&and_say(&format!("/console/bulk/{id}"), "started")).await?;
    web.doorbell.ring(rings);
    Ok(left)
}

async fn stop(InPath(id): InPath<Uuid>, mut once: OnceForm) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    bulk::stop(&mut once.tx, &principal, id).await?;
    once.leave(&and_say(&format!("/console/bulk/{id}"), "stopped")).await
}
