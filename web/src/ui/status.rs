//! A status: always an icon, a word and a colour.

use maud::{Markup, html};
use shared::orders::status::Status;
use shared::orders::{PaymentStatus, ShipmentStatus};
use shared::queue::JobState;

use super::Tone;
use super::icon::{Icon, icon};
use super::words;

/// In a table or a sentence: coloured icon, plain word.
pub fn status(tone: Tone, sign: Icon, word: &str) -> Markup {
    html! { span class={ "status " (tone.name()) } { (icon(sign)) (word) } }
}

/// Beside a title: the same on a tinted ground.
pub fn badge(tone: Tone, sign: Icon, word: &str) -> Markup {
    html! { span class={ "status badge " (tone.name()) } { (icon(sign)) (word) } }
}

pub fn order(status: Status) -> (Tone, Icon, &'static str) {
    match status {
        Status::Pending => (Tone::Quiet, Icon::Clock, "Pending"),
        Status::Processing => (Tone::Info, Icon::Spinner, "Processing"),
        Status::Paid => (Tone::Info, Icon::Card, "Paid"),
        Status::Shipped => (Tone::Info, Icon::Truck, "Shipped"),
        Status::Delivered => (Tone::Good, Icon::Check, "Delivered"),
        Status::Cancelling => (Tone::Warn, Icon::Spinner, "Cancelling"),
        Status::Cancelled => (Tone::Quiet, Icon::Cross, "Cancelled"),
    }
}

pub fn payment(status: PaymentStatus) -> (Tone, Icon, &'static str) {
    match status {
        PaymentStatus::Pending => (Tone::Warn, Icon::Clock, "No answer yet"),
        PaymentStatus::Charged => (Tone::Good, Icon::Check, "Charged"),
        PaymentStatus::Declined => (Tone::Bad, Icon::Cross, "Declined"),
        PaymentStatus::Refunded => (Tone::Quiet, Icon::Retry, "Paid back"),
        PaymentStatus::Voided => (Tone::Quiet, Icon::Cross, "Closed, nothing taken"),
    }
}

pub fn shipment(status: ShipmentStatus) -> (Tone, Icon, &'static str) {
    match status {
        ShipmentStatus::Booking => (Tone::Info, Icon::Spinner, "Being booked"),
        ShipmentStatus::Shipped => (Tone::Info, Icon::Truck, "On its way"),
        ShipmentStatus::Delivered => (Tone::Good, Icon::Check, "Delivered"),
    }
}

pub fn job(state: JobState) -> (Tone, Icon, &'static str) {
    let (tone, sign) = match state {
        JobState::Ready => (Tone::Quiet, Icon::Clock),
        JobState::Running => (Tone::Info, Icon::Spinner),
        JobState::Done => (Tone::Good, Icon::Check),
        JobState::Dead => (Tone::Bad, Icon::Failures),
        JobState::Discarded => (Tone::Quiet, Icon::Cross),
    };
    (tone, sign, words::job_state(state))
}

/// Draws what `order`, `payment`, `shipment` and `job` answer.
pub fn of((tone, sign, word): (Tone, Icon, &'static str)) -> Markup {
    status(tone, sign, word)
}
