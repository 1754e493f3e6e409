//! What the order waits for, in a sentence, and the buttons that the server allows.

use maud::{Markup, html};
use shared::ops::jobs::JobDetail;
use shared::orders::status::Status;
use shared::orders::{NextAction, OrderView, Who};
use shared::queue::JobState;

use super::shown::{OrderAction, OrderPage, address};
use crate::reader::Reader;
use crate::ui::button::{self, Weight};
use crate::ui::callout::{Callout, callout};
use crate::ui::icon::Icon;
use crate::ui::{Tone, layout, money, time, words};

/// An order that is over has no card: a sentence where there is something to say.
pub fn card(reader: &Reader, shown: &OrderPage) -> Markup {
    let Some(next) = &shown.order.next_action else { return ended(&shown.order) };
    let (tone, sign, headline, detail) = says(reader, shown, next);
    let buttons = shown.actions.iter().enumerate().map(|(place, action)| act(shown, action, place == 0)).collect();
    callout(&Callout { tone, sign, headline, detail, buttons, remark: remark(shown) })
}

pub fn waits_for_staff(order: &OrderView) -> bool {
    order.next_action.as_ref().is_some_and(|next| next.by == Who::Staff)
}

fn says(reader: &Reader, shown: &OrderPage, next: &NextAction) -> (Tone, Icon, String, Markup) {
    if next.by == Who::Staff {
        let headline = format!("{} waits for you", words::first_upper(&next.what));
        return (Tone::Warn, Icon::Alert, headline, why_it_waits(reader, shown, next));
    }
    (Tone::Info, Icon::Clock, runs(&shown.order).to_owned(), what_runs(reader, shown, next))
}

fn ended(order: &OrderView) -> Markup {
    if order.status == Status::Delivered {
        return html! {};
    }
    layout::remark(&match order.cancel_reason.as_deref() {
        Some("payment_declined") => "The payment was declined. The stock went back to the shelf.".to_owned(),
        Some("reservation_expired") => "It was not paid in time. The stock went back to the shelf.".to_owned(),
        Some(said) => format!("The reason given: “{said}”."),
        None => "It was cancelled without a reason.".to_owned(),
    })
}

fn why_it_waits(reader: &Reader, shown: &OrderPage, next: &NextAction) -> Markup {
    let since = html! { "Since " (time::with_ago(reader, next.due_at)) ". " };
    html! {
        p {
            (since)
            @if let Some(job) = dead(shown) {
                "We tried " (words::count(job.job.attempt.into(), "time", "times")) " to " (verb(&job.job.kind)) "."
            } @else {
                "No job is left that would do it."
            }
        }
        @if let Some(error) = dead(shown).and_then(|job| job.job.error.as_deref()) {
            blockquote { (words::first_upper(error)) }
        }
    }
}

fn runs(order: &OrderView) -> &'static str {
    match order.status {
        Status::Pending | Status::Processing => "The card is being charged",
        Status::Paid => "The shipment is being booked",
        Status::Shipped => "The parcel is on its way",
        Status::Cancelling => "The order is being cancelled",
        Status::Delivered | Status::Cancelled => "Nothing is left to do",
    }
}

fn what_runs(reader: &Reader, shown: &OrderPage, next: &NextAction) -> Markup {
    let failed = shown.jobs.iter().find(|job| job.job.state == JobState::Ready && job.job.attempt > 0);
    html! {
        p {
            @if let Some(job) = failed {
                "Attempt " (job.job.attempt + 1) " of " (job.job.max_attempt) " begins "
                (time::ago(reader, next.due_at)) ", at " (time::exact(reader, next.due_at)) "."
            } @else if next.due_at > reader.now {
                "A worker looks again at " (time::exact(reader, next.due_at)) ", " (time::ago(reader, next.due_at)) "."
            } @else {
                "A worker takes it now. You need not do anything."
            }
        }
        @if let Some(error) = failed.and_then(|job| job.job.error.as_deref()) { blockquote { (words::first_upper(error)) } }
    }
}

fn dead(shown: &OrderPage) -> Option<&JobDetail> {
    shown.jobs.iter().find(|job| job.job.state == JobState::Dead)
}

fn verb(kind: &str) -> String {
    let words = words::job_kind(kind);
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn act(shown: &OrderPage, action: &OrderAction, first: bool) -> Markup {
    let base = address(&shown.order);
    let weight = if first { Weight::Main } else { Weight::Plain };
    match action {
        OrderAction::RetryJob(job) => {
            let what = shown.order.next_action.as_ref().map_or("it", |next| next.what.as_str());
            button::post(weight, &format!("{base}/jobs/{job}/retry"), shown.key, &format!("Retry {what}"))
        }
        OrderAction::MarkPaid => button::ask(weight, &format!("{base}/paid"), "Mark paid…"),
        OrderAction::ShipByHand => button::ask(weight, &format!("{base}/ship"), "Ship by hand…"),
        OrderAction::MarkDelivered => button::post(weight, &format!("{base}/delivered"), shown.key, "Mark delivered"),
        OrderAction::Cancel { .. } => button::ask(Weight::Danger, &format!("{base}/cancel"), "Cancel order…"),
        OrderAction::GiveUpJob(job) => {
            button::ask(Weight::Plain, &format!("{base}/jobs/{job}/discard"), "Give up the job…")
        }
    }
}

/// What the buttons with consequences will do.
fn remark(shown: &OrderPage) -> String {
    let sentences: Vec<String> = shown.actions.iter().filter_map(consequence).collect();
    sentences.join(" ")
}

fn consequence(action: &OrderAction) -> Option<String> {
    match action {
        OrderAction::MarkPaid => Some("Mark paid writes a manual charge and ships.".to_owned()),
        OrderAction::Cancel { refund, units } => {
            let stock = format!("puts {} back on the shelf", words::count(*units, "unit", "units"));
            Some(match refund {
                Some(refund) => {
                    let refund = money::text(refund.amount, &refund.currency.to_string());
                    format!("Cancel pays {refund} back and {stock}.")
                }
                None => format!("Cancel takes no money and {stock}."),
            })
        }
        _ => None,
    }
}
