//! What staff do to an order: each press is a form with a key, has one effect, and leads back to the order.

use axum::extract::Path;
use maud::{Markup, html};
use shared::error::{Error, Kind, Result};
use shared::ops::jobs;
use shared::orders::cancel::{self, Cancel};
use shared::orders::status::Status;
use shared::orders::{OrderView, manual, read};
use shared::values::JobId;
use uuid::Uuid;

use super::shown::{OrderAction, OrderPage, address};
use super::{load, view};
use crate::answer::{DoneNotice, PageResult};
use crate::console::frame::frame;
use crate::form::{Effect, Form, reason};
use crate::page::console::{Screen, page};
use crate::ui::banner::Flash;
use crate::ui::button::Weight;
use crate::ui::dialog::{self, Ask};
use crate::ui::form::{Field, field};
use crate::ui::{Tone, money, words};
use crate::visit::Visit;

pub async fn ask_paid(visit: Visit, Path(number): Path<String>) -> PageResult {
    let order = find(&visit, &number).await?;
    let says = html! { p { "This writes a charge by hand over " (money::with_code(order.total)) ", and the order is shipped. Use it for money that came another way." } };
    ask(&visit, &order, "paid", "Mark the order as paid?", says, html! {}, Weight::Main, "Mark as paid")
}

pub async fn paid(visit: Visit, Path(number): Path<String>, form: Form) -> PageResult {
    let done = set_status(&visit, &number, &form, Status::Paid).await;
    back(&visit, &number, done, DoneNotice::MarkedPaid).await
}

pub async fn ask_ship(visit: Visit, Path(number): Path<String>) -> PageResult {
    let order = find(&visit, &number).await?;
    let says = html! { p { "The units leave the stock now, without a tracking number. The order can no longer be cancelled." } };
    ask(&visit, &order, "ship", "Ship the order by hand?", says, html! {}, Weight::Main, "Ship by hand")
}

pub async fn ship(visit: Visit, Path(number): Path<String>, form: Form) -> PageResult {
    let done = set_status(&visit, &number, &form, Status::Shipped).await;
    back(&visit, &number, done, DoneNotice::ShippedByHand).await
}

pub async fn delivered(visit: Visit, Path(number): Path<String>, form: Form) -> PageResult {
    let done = set_status(&visit, &number, &form, Status::Delivered).await;
    back(&visit, &number, done, DoneNotice::MarkedDelivered).await
}

pub async fn ask_cancel(visit: Visit, Path(number): Path<String>) -> PageResult {
    let shown = load::load(&visit, &number).await?;
    let says = html! { p { (consequence(&shown)) " This cannot be undone." } };
    ask(
        &visit,
        &shown.order,
        "cancel",
        "Cancel the order?",
        says,
        reason_field(false),
        Weight::Danger,
        "Cancel the order",
    )
}

fn consequence(shown: &OrderPage) -> String {
    let cancel = shown.actions.iter().find_map(|action| match action {
        OrderAction::Cancel { refund, units } => Some((refund, *units)),
        _ => None,
    });
    let Some((refund, units)) = cancel else { return "The order is being shipped, so this may be refused.".to_owned() };
    let units = words::count(units, "unit goes", "units go");
    match refund {
        Some(refund) => {
            let sum = money::text(refund.amount, &refund.currency.to_string());
            format!("{sum} go back to the customer, and {units} back on the shelf.")
        }
        None => format!("No money was taken, and {units} back on the shelf."),
    }
}

pub async fn cancel(visit: Visit, Path(number): Path<String>, form: Form) -> PageResult {
    let done = try_to_cancel(&visit, &number, &form).await;
    back(&visit, &number, done, DoneNotice::OrderCancelled).await
}

async fn try_to_cancel(visit: &Visit, number: &str, form: &Form) -> Result<()> {
    let asked = Cancel { reason: reason(form)? };
    let Some((mut effect, order)) = begin(visit, number, form).await? else { return Ok(()) };
    let plan = visit.state.plan(&visit.origin);
    let (_, ring) = cancel::cancel(&mut effect.tx, visit.caller()?, order.id, &asked, &plan).await?;
    effect.commit(visit).await?;
    visit.state.doorbell.ring(ring);
    Ok(())
}

async fn set_status(visit: &Visit, number: &str, form: &Form, to: Status) -> Result<()> {
    let Some((mut effect, order)) = begin(visit, number, form).await? else { return Ok(()) };
    let following = visit.state.following(&visit.origin);
    let (_, rings) = manual::set_status(&mut effect.tx, visit.caller()?, order.id, None, to, &following).await?;
    effect.commit(visit).await?;
    visit.state.doorbell.ring(rings);
    Ok(())
}

pub async fn retry(visit: Visit, Path((number, job)): Path<(String, String)>, form: Form) -> PageResult {
    let done = try_to_retry(&visit, &number, &job, &form).await;
    back(&visit, &number, done, DoneNotice::JobRetried).await
}

async fn try_to_retry(visit: &Visit, number: &str, job: &str, form: &Form) -> Result<()> {
    let Some((mut effect, order)) = begin(visit, number, form).await? else { return Ok(()) };
    let job = job_of(&mut effect, &order, job).await?;
    let (_, ring) = jobs::retry(&mut effect.tx, visit.caller()?, job, visit.state.max_attempts).await?;
    effect.commit(visit).await?;
    visit.state.doorbell.ring([ring]);
    Ok(())
}

pub async fn ask_discard(visit: Visit, Path((number, job)): Path<(String, String)>) -> PageResult {
    let order = find(&visit, &number).await?;
    let what = format!("jobs/{}/discard", words::segment(&job));
    let says = html! { p { "The job never runs again. The order waits until somebody moves it by hand." } };
    ask(&visit, &order, &what, "Give up the job?", says, reason_field(true), Weight::Danger, "Give up the job")
}

pub async fn discard(visit: Visit, Path((number, job)): Path<(String, String)>, form: Form) -> PageResult {
    let done = try_to_discard(&visit, &number, &job, &form).await;
    back(&visit, &number, done, DoneNotice::JobDiscarded).await
}

async fn try_to_discard(visit: &Visit, number: &str, job: &str, form: &Form) -> Result<()> {
    let needed = || Error::field("reason", "missing", "say why the job is given up");
    let reason = reason(form)?.ok_or_else(needed)?;
    let Some((mut effect, order)) = begin(visit, number, form).await? else { return Ok(()) };
    let job = job_of(&mut effect, &order, job).await?;
    jobs::discard(&mut effect.tx, visit.caller()?, job, Some(&reason)).await?;
    effect.commit(visit).await
}

/// The job, if it is one of this order's.
async fn job_of(effect: &mut Effect, order: &OrderView, job: &str) -> Result<JobId> {
    let unknown = || Error::NotFound(shared::error::Resource::Job);
    let detail = jobs::get(&mut effect.tx, job.parse().map_err(|_| unknown())?).await?;
    if detail.job.order_id == Some(order.id) { Ok(detail.job.id) } else { Err(unknown()) }
}

/// Begins the one effect of a form about an order. `None`: it had its effect before.
async fn begin(visit: &Visit, number: &str, form: &Form) -> Result<Option<(Effect, OrderView)>> {
    let Some(mut effect) = form.begin(visit).await? else { return Ok(None) };
    let order = read::by_number(&mut effect.tx, visit.caller()?, number).await?;
    Ok(Some((effect, order)))
}

async fn find(visit: &Visit, number: &str) -> Result<OrderView> {
    read::by_number(&mut *visit.connection().await?, visit.caller()?, number).await
}

/// Back to the order. What the present state does not allow is said on its page, as it is now.
async fn back(visit: &Visit, number: &str, done: Result<()>, what: DoneNotice) -> PageResult {
    let error = match done {
        Ok(()) => return Ok(visit.see_done(&format!("/console/orders/{}", words::segment(number)), what)),
        Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Invalid) => error,
        Err(error) => return Err(error.into()),
    };
    let shown = load::load(visit, number).await?;
    let mut frame = frame(visit)?;
    frame.flash = Some(Flash { tone: Tone::Bad, text: sentence(&error) });
    Ok(visit.refused(error, view::render(&frame, &shown)))
}

fn sentence(error: &Error) -> String {
    match error {
        Error::InvalidTransition { from, .. } => {
            format!("Somebody was faster: the order is {from} now. Nothing was changed.")
        }
        Error::JobNotDead { state } => format!("Somebody was faster: the job is {state} now. Nothing was changed."),
        other => words::first_upper(&other.to_string()),
    }
}

fn reason_field(required: bool) -> Markup {
    let label = if required { "Why" } else { "Why (the customer sees it)" };
    field(&Field { name: "reason", label, required, ..Field::default() })
}

#[expect(clippy::too_many_arguments, reason = "the parts of one question, each of another type or meaning")]
fn ask(
    visit: &Visit,
    order: &OrderView,
    what: &str,
    title: &str,
    says: Markup,
    fields: Markup,
    weight: Weight,
    verb: &str,
) -> PageResult {
    let back = address(order);
    let action = format!("{back}/{what}");
    let asked = Ask { title, says, fields, action: &action, key: Uuid::now_v7(), weight, verb, back: &back };
    Ok(visit.page(page(&frame(visit)?, Screen::Orders, &order.number, dialog::ask(&asked))))
}
