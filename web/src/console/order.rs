//! One order: its page, and what staff do with it.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::Markup;
use shared::error::{Error, Resource, Result};
use shared::ops::jobs::{self, JobFilter};
use shared::ops::taken;
use shared::orders::behind;
use shared::orders::cancel::{self, Cancel};
use shared::orders::manual::{self, Following};
use shared::orders::note::{self, NewNote};
use shared::orders::status::Status;
use shared::orders::{past, read};
use shared::page::Page;
use shared::principal::Permission;
use shared::queue::Plan;
use shared::values::{JobId, OrderId, OrderNumber};
use sqlx::PgConnection;

use super::order_view::{Seen, content};
use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::live::Topic;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::list::segment;
use crate::ui::time;
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let change = changes(Permission::OrdersWrite).changes_products();
    PageRoutes::default()
        .page("/console/orders/{number}", show, reads(Permission::OrdersRead))
        .page("/console/orders/{number}/live", stream, reads(Permission::OrdersRead))
        .form("/console/orders/{number}/cancel", cancel_order, changes(Permission::OrdersCancel).changes_products())
        .form("/console/orders/{number}/move", move_order, change)
        .form("/console/orders/{number}/note", write_note, changes(Permission::OrdersWrite))
        .form("/console/orders/{number}/take", take, changes(Permission::OrdersWrite))
        .form("/console/orders/{number}/put-back", put_back, changes(Permission::OrdersWrite))
        .form("/console/orders/{number}/retry", retry, changes(Permission::OpsWrite))
        .form("/console/orders/{number}/discard", discard, changes(Permission::OpsWrite))
}

async fn show(
    State(web): State<WebState>,
    visit: Visit,
    InPath(number): InPath<String>,
    RawQuery(raw): RawQuery,
) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let past = asked.given("as_of").and_then(|text| time::parse(text, visit.zone));
    let seen = see(&web, &visit, &number, past).await?;
    Ok(page(&web, &visit, &seen, None).await?)
}

async fn stream(State(web): State<WebState>, visit: Visit, InPath(number): InPath<String>) -> PageResult<Response> {
    let mut conn = web.db.acquire().await?;
    let id = id_of(&mut conn, &visit, &number).await?;
    drop(conn);
    Ok(web.live.stream(Topic::Order(id))?)
}

pub(super) async fn id_of(conn: &mut PgConnection, visit: &Visit, number: &str) -> Result<OrderId> {
    let number: OrderNumber = number.parse().map_err(|_| Error::NotFound(Resource::Order))?;
    read::id_of_number(conn, visit.principal()?, number).await
}

async fn see(web: &WebState, visit: &Visit, number: &str, past: Option<DateTime<Utc>>) -> Result<Seen> {
    let mut conn = web.db.acquire().await?;
    let id = id_of(&mut conn, visit, number).await?;
    let principal = visit.principal()?;
    let order = match past {
        Some(at) => past::get(&mut conn, principal, id, at).await?,
        None => read::get(&mut conn, principal, id).await?,
    };
    let events = read::timeline(&mut conn, principal, &order).await?;
    let charges = behind::charges(&mut conn, principal, id).await?;
    let allocation = behind::allocation(&mut conn, principal, id).await?;
    let filter = JobFilter { order_id: Some(id), ..JobFilter::default() };
    let mut jobs = Vec::new();
    for job in jobs::list(&mut conn, filter, Page::parse(None, None, "")?).await?.data {
        jobs.push(jobs::get(&mut conn, job.id).await?);
    }
    let taken = taken::of(&mut conn, id).await?;
    Ok(Seen { order, events, jobs, charges, allocation, taken, past })
}

async fn page(web: &WebState, visit: &Visit, seen: &Seen, problem: Option<&str>) -> Result<Markup> {
    let (content, title) = (content(visit, seen, problem), format!("Order {}", seen.order.number));
    if seen.past.is_some() {
        return shell::still_page(web, visit, &title, content).await;
    }
    let live = format!("/console/orders/{}/live", seen.order.number);
    shell::page_hearing(web, visit, &title, live, content).await
}

// ---- what can be done ------------------------------------------------------------------------

async fn cancel_order(
    State(web): State<WebState>,
    InPath(number): InPath<String>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let id = id_of(&mut once.tx, &once.visit, &number).await?;
        let asked = Cancel { reason: once.fields.optional("reason")? };
        let plan = plan(&web, &once.visit);
        cancel::cancel(&mut once.tx, once.visit.principal()?, id, &asked, &plan).await
    };
    match done.await {
        Ok((_, ring)) => {
            let left = once.leave(&and_say(&address_of(&number), "cancelling")).await?;
            web.doorbell.ring(ring);
            Ok(left)
        }
        Err(error) => again(&web, once.visit, &number, error).await,
    }
}

async fn move_order(
    State(web): State<WebState>,
    InPath(number): InPath<String>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let id = id_of(&mut once.tx, &once.visit, &number).await?;
        let to = status_named(once.fields.text("to"))?;
        let seen = once.fields.optional("version")?;
        let following = Following { plan: plan(&web, &once.visit), delivery_delay: web.settings.delivery_delay };
        manual::set_status(&mut once.tx, once.visit.principal()?, id, seen, to, &following).await
    };
    match done.await {
        Ok((_, rings)) => {
            let left = once.leave(&and_say(&address_of(&number), "moved")).await?;
            web.doorbell.ring(rings);
            Ok(left)
        }
        Err(error) => again(&web, once.visit, &number, error).await,
    }
}

fn status_named(name: &str) -> Result<Status> {
    let found = Status::ALL.into_iter().find(|status| status.name() == name);
    found.ok_or_else(|| Error::field("to", "invalid_status", "choose where the order goes"))
}

async fn write_note(
    State(web): State<WebState>,
    InPath(number): InPath<String>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let id = id_of(&mut once.tx, &once.visit, &number).await?;
        let new = NewNote { text: once.fields.value("text")? };
        note::write(&mut once.tx, once.visit.principal()?, id, &new).await
    };
    match done.await {
        Ok(_) => once.leave(&and_say(&address_of(&number), "noted")).await,
        Err(error) => again(&web, once.visit, &number, error).await,
    }
}

async fn take(State(web): State<WebState>, InPath(number): InPath<String>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let id = id_of(&mut once.tx, &once.visit, &number).await?;
        taken::take(&mut once.tx, once.visit.principal()?, id).await
    };
    match done.await {
        Ok(_) => {
            let to = and_say(&back(&once.fields, &number), "taken");
            once.leave(&to).await
        }
        Err(error) => again(&web, once.visit, &number, error).await,
    }
}

async fn put_back(
    State(web): State<WebState>,
    InPath(number): InPath<String>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let id = id_of(&mut once.tx, &once.visit, &number).await?;
        taken::put_back(&mut once.tx, once.visit.principal()?, id).await
    };
    match done.await {
        Ok(()) => {
            let to = and_say(&back(&once.fields, &number), "put_back");
            once.leave(&to).await
        }
        Err(error) => again(&web, once.visit, &number, error).await,
    }
}

/// Who pressed the button in the inbox stays there.
fn back(fields: &Fields, number: &str) -> String {
    if fields.is_on("inbox") { "/console/inbox".to_owned() } else { address_of(number) }
}

async fn retry(
    State(web): State<WebState>,
    InPath(number): InPath<String>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let job = job_of_order(&mut once.tx, &once.visit, &once.fields, &number).await?;
        jobs::retry(&mut once.tx, once.visit.principal()?, job, web.settings.job_max_attempts).await
    };
    match done.await {
        Ok((_, ring)) => {
            let left = once.leave(&and_say(&address_of(&number), "retried")).await?;
            web.doorbell.ring([ring]);
            Ok(left)
        }
        Err(error) => again(&web, once.visit, &number, error).await,
    }
}

async fn discard(
    State(web): State<WebState>,
    InPath(number): InPath<String>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let job = job_of_order(&mut once.tx, &once.visit, &once.fields, &number).await?;
        jobs::discard(&mut once.tx, once.visit.principal()?, job).await
    };
    match done.await {
        Ok(_) => once.leave(&and_say(&address_of(&number), "discarded")).await,
        Err(error) => again(&web, once.visit, &number, error).await,
    }
}

/// The job that the form names, if it belongs to this order.
async fn job_of_order(conn: &mut PgConnection, visit: &Visit, fields: &Fields, number: &str) -> Result<JobId> {
    let id = id_of(conn, visit, number).await?;
    let job = jobs::get(conn, fields.value("job")?).await?;
    if job.job.order_id == Some(id) { Ok(job.job.id) } else { Err(Error::NotFound(Resource::Job)) }
}

fn plan(web: &WebState, visit: &Visit) -> Plan {
    Plan { delay: std::time::Duration::ZERO, max_attempts: web.settings.job_max_attempts, origin: visit.origin.clone() }
}

fn address_of(number: &str) -> String {
    format!("/console/orders/{}", segment(number))
}

/// The order as it is now, with the reason why nothing was done.
async fn again(web: &WebState, visit: Visit, number: &str, error: Error) -> PageResult<Response> {
    let seen = see(web, &visit, number, None).await?;
    let page = page(web, &visit, &seen, Some(&words(&error))).await?;
    Ok(refused_in_place(error, page))
}
