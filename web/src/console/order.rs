//! One order: what comes next and who must do it, then everything that is known about it.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use shared::error::{Error, Result};
use shared::ops::jobs::{self, JobDetail, JobFilter};
use shared::orders::cancel::{self, Cancel};
use shared::orders::manual::{self, Following};
use shared::orders::note::{self, NewNote};
use shared::orders::read::{self, OrderEvent};
use shared::orders::status::Status;
use shared::orders::{OrderView, Who};
use shared::page::Page;
use shared::principal::Permission;
use shared::queue::{JobState, Plan};
use shared::values::{JobId, OrderId, OrderNumber};

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::live::Topic;
use crate::once::{OnceForm, and_say};
use crate::path::Path;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::list::{Row, column, numbers, segment, table};
use crate::ui::money::money;
use crate::ui::words::reason;
use crate::ui::{self, field, notice, status, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let change = changes(Permission::OrdersWrite).changes_products();
    PageRoutes::default()
        .page("/console/orders/{number}", show, reads(Permission::OrdersRead))
        .page("/console/orders/{number}/live", stream, reads(Permission::OrdersRead))
        .form("/console/orders/{number}/cancel", cancel_order, changes(Permission::OrdersCancel).changes_products())
        .form("/console/orders/{number}/move", move_order, change)
        .form("/console/orders/{number}/note", write_note, changes(Permission::OrdersWrite))
        .form("/console/orders/{number}/retry", retry, changes(Permission::OpsWrite))
        .form("/console/orders/{number}/discard", discard, changes(Permission::OpsWrite))
}

/// Everything that the page shows.
struct Seen {
    order: OrderView,
    events: Vec<OrderEvent>,
    jobs: Vec<JobDetail>,
}

async fn show(State(web): State<WebState>, visit: Visit, Path(number): Path<String>) -> PageResult {
    Ok(page(&web, &visit, &number, None).await?)
}

async fn stream(State(web): State<WebState>, visit: Visit, Path(number): Path<String>) -> PageResult<Response> {
    let mut conn = web.db.acquire().await?;
    let id = id_of(&mut conn, &visit, &number).await?;
    drop(conn);
    Ok(web.live.stream(Topic::Order(id))?)
}

async fn id_of(conn: &mut sqlx::PgConnection, visit: &Visit, number: &str) -> Result<OrderId> {
    let number: OrderNumber = number.parse().map_err(|_| Error::NotFound(shared::error::Resource::Order))?;
    read::id_of_number(conn, visit.principal()?, number).await
}

async fn see(web: &WebState, visit: &Visit, number: &str) -> Result<Seen> {
    let mut conn = web.db.acquire().await?;
    let id = id_of(&mut conn, visit, number).await?;
    let principal = visit.principal()?;
    let order = read::get(&mut conn, principal, id).await?;
    let events = read::events(&mut conn, principal, id, Page::parse(Some(shared::page::MAX_LIMIT), None, "")?).await?;
    let filter = JobFilter { order_id: Some(id), ..JobFilter::default() };
    let mut jobs = Vec::new();
    for job in jobs::list(&mut conn, filter, Page::parse(None, None, "")?).await?.data {
        jobs.push(jobs::get(&mut conn, job.id).await?);
    }
    Ok(Seen { order, events: events.data, jobs })
}

async fn page(web: &WebState, visit: &Visit, number: &str, problem: Option<&str>) -> Result<Markup> {
    let seen = see(web, visit, number).await?;
    let order = &seen.order;
    let content = html! {
        (ui::head_with(&format!("Order {}", order.number), html! {
            (status::order(order.status)) " · " (money(order.total)) " · placed " (time::both(visit, order.created_at))
        }, html! {}))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        (ui::live("order", html! {
            div.two {
                div {
                    (next_card(visit, &seen))
                    (items(order))
                    (payment(visit, order))
                    (shipments(visit, order))
                    (jobs_block(visit, &seen.jobs))
                }
                aside { (customer(order)) }
            }
        }))
        (timeline(visit, &seen))
    };
    let live = format!("/console/orders/{}/live", order.number);
    shell::page_hearing(web, visit, &format!("Order {}", order.number), live, content).await
}

/// What happens next, by whom, and only the buttons that the order's state allows.
fn next_card(visit: &Visit, seen: &Seen) -> Markup {
    let order = &seen.order;
    let base = format!("/console/orders/{}", order.number);
    let waits_for_staff = order.next_action.as_ref().is_some_and(|next| next.by == Who::Staff);
    html! {
        section.next.attention[waits_for_staff] aria-label="What comes next" {
            p.lead { (sentence(visit, seen)) }
            @if visit.may(Permission::OrdersWrite) { div.actions {
                @for job in dead(seen) {
                    (action::button_with(&format!("{base}/retry"), &format!("Retry: {}", status::job_name(&job.job.kind)), Emphasis::Primary,
                        &[("job", &job.job.id.to_string())]))
                }
                @for to in order.status.allowed_manually() {
                    @if let Some(verb) = verb(to) {
                        (action::ask(verb, Emphasis::Plain, html! {
                            p { (effect(order, to)) }
                            (action::button_with(&format!("{base}/move"), verb, Emphasis::Primary,
                                &[("to", to.name()), ("version", &order.version.to_string())]))
                        }))
                    }
                }
                @if order.status.allowed_manually().contains(&Status::Cancelling) {
                    (action::ask("Cancel the order", Emphasis::Danger, html! {
                        p { (effect(order, Status::Cancelling)) }
                        (action::form(&format!("{base}/cancel"), "Cancel the order", Emphasis::Danger, html! {
                            (field::Field::text("reason", "Reason").optional().max(500).show())
                        }))
                    }))
                }
                @for job in dead(seen) {
                    (action::ask("Give the job up", Emphasis::Plain, html! {
                        p { "It never runs again, and the order stays with you until you move it by hand." }
                        (action::button_with(&format!("{base}/discard"), "Give the job up", Emphasis::Danger,
                            &[("job", &job.job.id.to_string())]))
                    }))
                }
            } }
        }
    }
}

fn dead(seen: &Seen) -> impl Iterator<Item = &JobDetail> {
    seen.jobs.iter().filter(|job| job.job.state == JobState::Dead)
}

fn sentence(visit: &Visit, seen: &Seen) -> Markup {
    let order = &seen.order;
    let dead = dead(seen).next();
    match &order.next_action {
        None if order.status == Status::Cancelled => html! {
            "This order is cancelled" @if let Some(why) = &order.cancel_reason { ": " (reason(why)) } "."
        },
        None => html! { "This order is delivered. Nothing is left to do." },
        Some(next) if next.by == Who::Worker => html! {
            (capital(&next.what)) " comes next. A worker does it " (time::ago(visit, next.due_at)) "."
        },
        Some(next) => html! {
            (capital(&next.what)) " waits for you since " (time::both(visit, next.due_at)) ". "
            @if let Some(job) = dead {
                "It was tried " (ui::plural(i64::from(job.job.attempt), "time", "times")) ", and the last answer was: "
                q { (job.job.error.as_deref().unwrap_or("nothing")) } "."
            } @else { "No job does it any more: move the order by hand, or cancel it." }
        },
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().to_string() + letters.as_str())
}

fn verb(to: Status) -> Option<&'static str> {
    match to {
        Status::Processing => Some("Begin the payment by hand"),
        Status::Paid => Some("Mark as paid"),
        Status::Shipped => Some("Ship by hand"),
        Status::Delivered => Some("Mark as delivered"),
        Status::Pending | Status::Cancelling | Status::Cancelled => None,
    }
}

/// What a step does, said before it is taken.
fn effect(order: &OrderView, to: Status) -> String {
    let units: i64 = order.items.iter().map(|item| i64::from(item.quantity)).sum();
    let units = ui::plural(units, "unit", "units");
    match to {
        Status::Processing => "No worker charges the customer any more: you take the money another way.".to_owned(),
        Status::Paid => format!("Writes down that you took {} another way, and starts shipping.", money(order.total)),
        Status::Shipped => format!("Takes {units} off the stock without booking a carrier."),
        Status::Delivered => "Ends the order.".to_owned(),
        Status::Cancelling | Status::Cancelled => {
            format!("Gives back {}, if it was taken, and returns {units} to the stock.", money(order.total))
        }
        Status::Pending => String::new(),
    }
}

fn items(order: &OrderView) -> Markup {
    let columns = [column("Product"), column("SKU"), numbers("Price"), numbers("Units"), numbers("Total")];
    let rows: Vec<Row> = order
        .items
        .iter()
        .map(|item| Row {
            link: Some(format!("/console/products/{}", segment(item.sku.as_str()))),
            cells: vec![
                html! { (item.name) },
                html! { code { (item.sku.as_str()) } },
                html! { (money(item.unit_price)) },
                html! { (item.quantity) },
                html! { (money(item.total)) },
            ],
        })
        .collect();
    ui::block("Items", html! { (table("Items", &columns, &rows)) p.total { "Total " b { (money(order.total)) } } })
}

fn payment(visit: &Visit, order: &OrderView) -> Markup {
    ui::block(
        "Payment",
        html! {
            @match &order.payment {
                None => p.quiet { "Nothing has been charged yet." },
                Some(payment) => (ui::facts(&[
                    ("State", status::payment(payment.status)),
                    ("Amount", html! { (money(payment.amount)) @if payment.manual { " taken by hand" } }),
                    ("Since", time::both(visit, payment.at)),
                ])),
            }
        },
    )
}

fn shipments(visit: &Visit, order: &OrderView) -> Markup {
    if order.shipments.is_empty() {
        return html! {};
    }
    ui::block(
        "Shipments",
        html! {
            @for shipment in &order.shipments {
                (ui::facts(&[
                    ("State", status::shipment(shipment.status)),
                    ("Tracking", tracking(shipment.tracking_number.as_deref())),
                    ("Shipped", shipment.shipped_at.map_or_else(|| html! { span.quiet { "not yet" } }, |at| time::both(visit, at))),
                    ("Delivered", shipment.delivered_at.map_or_else(|| html! { span.quiet { "not yet" } }, |at| time::both(visit, at))),
                ]))
            }
        },
    )
}

fn tracking(number: Option<&str>) -> Markup {
    html! { @if let Some(number) = number { code { (number) } (ui::copy(number)) } @else { span.quiet { "none" } } }
}

fn jobs_block(visit: &Visit, jobs: &[JobDetail]) -> Markup {
    if jobs.is_empty() {
        return html! {};
    }
    let columns = [column("Job"), column("State"), numbers("Attempt"), column("Due"), column("Last error")];
    let rows: Vec<Row> = jobs
        .iter()
        .map(|JobDetail { job, .. }| Row {
            link: Some(format!("/console/jobs/{}", job.id)),
            cells: vec![
                html! { (status::job_name(&job.kind)) },
                status::job(job.state),
                html! { (job.attempt) " of " (job.max_attempt) },
                time::ago(visit, job.run_at),
                html! { (job.error.as_deref().unwrap_or("")) },
            ],
        })
        .collect();
    ui::block("Jobs", table("Jobs", &columns, &rows))
}

fn customer(order: &OrderView) -> Markup {
    html! {
        @if let Some(customer) = &order.customer {
            (ui::block("Customer", html! {
                p { a href={ "/console/customers/" (customer.id) } { (customer.name) } }
                p { (customer.email) (ui::copy(&customer.email)) }
                p { a href={ "/console/orders?customer_id=" (customer.id) } { "All their orders" } }
            }))
        }
        (ui::block("Ship to", ui::address(&order.shipping_address)))
        (ui::block("Ids", ui::facts(&[("Order", ui::id(order.id)), ("Number", html! { code { (order.number) } (ui::copy(&order.number)) })])))
    }
}

fn timeline(visit: &Visit, seen: &Seen) -> Markup {
    let base = format!("/console/orders/{}", seen.order.number);
    ui::block(
        "Timeline",
        html! {
            (ui::live("timeline", html! {
                ol.timeline { @for event in seen.events.iter().rev() { li {
                    span.what { (event_words(event)) }
                    @if let Some(text) = event.data["text"].as_str() { p.note { (text) } }
                    span.quiet {
                        (time::both(visit, event.at)) " · "
                        @match event.data["by"]["name"].as_str() { Some(name) => (name), None => "Millrace" }
                    }
                } } }
            }))
            @if visit.may(Permission::OrdersWrite) {
                (action::form(&format!("{base}/note"), "Write the note", Emphasis::Plain, field::area("text", "A note for your colleagues", "", 2000)))
            }
        },
    )
}

/// What happened, in words.
pub fn event_words(event: &OrderEvent) -> String {
    let by_hand = if event.data["by_hand"] == true { " by hand" } else { "" };
    let why = event.data["reason"].as_str().map(reason);
    match event.r#type.as_str() {
        "placed" => "Placed".to_owned(),
        "processing" => format!("Charging began{by_hand}"),
        "paid" => format!("Paid{by_hand}"),
        "shipped" => format!("Shipped{by_hand}"),
        "delivered" => format!("Delivered{by_hand}"),
        "cancelling" => format!("Cancelling asked for{}", why.map(|why| format!(": {why}")).unwrap_or_default()),
        "cancelled" => format!("Cancelled{}", why.map(|why| format!(": {why}")).unwrap_or_default()),
        "note" => "Note".to_owned(),
        "job_retried" => format!("Retried: {}", job_of(event)),
        "job_discarded" => format!("Given up: {}", job_of(event)),
        other => other.replace('_', " "),
    }
}

fn job_of(event: &OrderEvent) -> String {
    status::job_name(event.data["kind"].as_str().unwrap_or("a job")).to_owned()
}

// ---- what can be done ------------------------------------------------------------------------

async fn cancel_order(
    State(web): State<WebState>,
    Path(number): Path<String>,
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
    Path(number): Path<String>,
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
    Path(number): Path<String>,
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

async fn retry(State(web): State<WebState>, Path(number): Path<String>, mut once: OnceForm) -> PageResult<Response> {
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

async fn discard(State(web): State<WebState>, Path(number): Path<String>, mut once: OnceForm) -> PageResult<Response> {
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
async fn job_of_order(conn: &mut sqlx::PgConnection, visit: &Visit, fields: &Fields, number: &str) -> Result<JobId> {
    let id = id_of(conn, visit, number).await?;
    let job = jobs::get(conn, fields.value("job")?).await?;
    if job.job.order_id == Some(id) { Ok(job.job.id) } else { Err(Error::NotFound(shared::error::Resource::Job)) }
}

fn plan(web: &WebState, visit: &Visit) -> Plan {
    Plan { delay: std::time::Duration::ZERO, max_attempts: web.settings.job_max_attempts, origin: visit.origin.clone() }
}

fn address_of(number: &str) -> String {
    format!("/console/orders/{}", segment(number))
}

/// The order as it is now, with the reason why nothing was done.
async fn again(web: &WebState, visit: Visit, number: &str, error: Error) -> PageResult<Response> {
    let page = page(web, &visit, number, Some(&words(&error))).await?;
    Ok(refused_in_place(error, page))
}
