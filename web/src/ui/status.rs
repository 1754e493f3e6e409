//! The states of things: always an icon, a word and a colour, never a colour alone.

use maud::{Markup, html};
use shared::orders::status::Status;
use shared::orders::{PaymentStatus, ShipmentStatus};
use shared::queue::JobState;
use shared::webhooks::endpoints::{WebhookState, WebhookView};

use super::icon::{self, Icon};

/// What a state means to the one who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Busy,
    Waiting,
    Bad,
    Over,
}

impl Tone {
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Waiting => "waiting",
            Self::Bad => "bad",
            Self::Over => "over",
        }
    }
}

pub fn badge(tone: Tone, icon: Icon, word: &str) -> Markup {
    html! { span class={ "status " (tone.class()) } { (icon::svg(icon)) (word) } }
}

pub fn order(status: Status) -> Markup {
    let (tone, icon) = match status {
        Status::Pending | Status::Cancelling => (Tone::Waiting, Icon::Clock),
        Status::Processing => (Tone::Busy, Icon::Activity),
        Status::Paid => (Tone::Busy, Icon::Boxes),
        Status::Shipped => (Tone::Busy, Icon::Truck),
        Status::Delivered => (Tone::Good, Icon::Check),
        Status::Cancelled => (Tone::Over, Icon::Cross),
    };
    badge(tone, icon, order_word(status))
}

pub const fn order_word(status: Status) -> &'static str {
    match status {
        Status::Pending => "Pending",
        Status::Processing => "Charging",
        Status::Paid => "Paid",
        Status::Shipped => "Shipped",
        Status::Delivered => "Delivered",
        Status::Cancelling => "Cancelling",
        Status::Cancelled => "Cancelled",
    }
}

pub fn payment(status: PaymentStatus) -> Markup {
    match status {
        PaymentStatus::Pending => badge(Tone::Waiting, Icon::Clock, "Not known yet"),
        PaymentStatus::Charged => badge(Tone::Good, Icon::Check, "Charged"),
        PaymentStatus::Declined => badge(Tone::Bad, Icon::Cross, "Declined"),
        PaymentStatus::Refunded => badge(Tone::Over, Icon::Back, "Refunded"),
        PaymentStatus::Voided => badge(Tone::Over, Icon::Cross, "Voided"),
    }
}

pub fn shipment(status: ShipmentStatus) -> Markup {
    match status {
        ShipmentStatus::Booking => badge(Tone::Waiting, Icon::Clock, "Being booked"),
        ShipmentStatus::Shipped => badge(Tone::Busy, Icon::Truck, "On its way"),
        ShipmentStatus::Delivered => badge(Tone::Good, Icon::Check, "Delivered"),
    }
}

pub fn webhook(webhook: &WebhookView) -> Markup {
    match (webhook.state, webhook.failing_since) {
        (WebhookState::Enabled, None) => badge(Tone::Good, Icon::Check, "Enabled"),
        (WebhookState::Enabled, Some(_)) => badge(Tone::Bad, Icon::Alert, "Failing"),
        (WebhookState::Paused, _) => badge(Tone::Waiting, Icon::Pause, "Paused"),
        (WebhookState::Disabled, _) => badge(Tone::Bad, Icon::Cross, "Disabled"),
    }
}

pub fn job(state: JobState) -> Markup {
    let (tone, icon) = match state {
        JobState::Ready => (Tone::Waiting, Icon::Clock),
        JobState::Running => (Tone::Busy, Icon::Activity),
        JobState::Done => (Tone::Good, Icon::Check),
        JobState::Dead => (Tone::Bad, Icon::Alert),
        JobState::Discarded => (Tone::Over, Icon::Cross),
    };
    badge(tone, icon, job_word(state))
}

pub const fn job_word(state: JobState) -> &'static str {
    match state {
        JobState::Ready => "Ready",
        JobState::Running => "Running",
        JobState::Done => "Done",
        JobState::Dead => "Dead",
        JobState::Discarded => "Given up",
    }
}

/// The kind of a job in words: `Charge the customer`.
pub fn job_name(kind: &str) -> &str {
    JOBS.into_iter().find(|(known, _)| *known == kind).map_or(kind, |(_, name)| name)
}

/// The kinds of jobs, and what each does.
pub const JOBS: [(&str, &str); 10] = [
    ("process_payment", "Charge the customer"),
    ("ship_order", "Ship the order"),
    ("deliver_order", "Deliver the order"),
    ("cancel_order", "Cancel the order"),
    ("reap", "Release expired stock"),
    ("audit", "Audit"),
    ("retain", "Remove old rows"),
    ("bulk_step", "A step of a replay"),
    ("deliver_webhooks", "Send webhooks"),
    ("replay_webhooks", "Send webhooks again"),
];
