//! Sentences that tell what was done, or what is wrong.

use maud::{Markup, html};

/// What the last form did. The address carries only a name, so that nobody can put words into our pages.
pub fn done(name: &str) -> Markup {
    html! { @if let Some(words) = words(name) { p.notice.good role="status" { (words) } } }
}

fn words(name: &str) -> Option<&'static str> {
    Some(match name {
        "added" => "It is in your cart.",
        "cancelling" => "The order is being cancelled.",
        "changed" => "Your changes are saved.",
        "counted" => "The stock is as it was counted.",
        "confirmed" => "Thank you. Now repeat what you were about to do.",
        "deleted" => "It is deleted.",
        "discarded" => "The job is given up. The order waits for a person now.",
        "ended" => "The session has ended.",
        "invited" => "The account is made.",
        "made" => "It is made.",
        "moved" => "The order is moved on.",
        "noted" => "Your note is on the timeline.",
        "password" => "Your password is changed. Your other sessions have ended.",
        "paused" => "The queue is paused.",
        "placed" => "Thank you. Your order is placed.",
        "placed_for" => "The order is placed. Its payment begins now.",
        "printed" => "The timeline says that the slips were printed.",
        "put_back" => "The order is free again.",
        "reaped" => "Expired reservations are released.",
        "registered" => "Welcome. Your account is made.",
        "resumed" => "The queue takes jobs again.",
        "redelivered" => "It is sent again.",
        "retried" => "It runs again.",
        "saved" => "The view is saved. It is in your account.",
        "signed-out" => "You are signed out.",
        "started" => "It has started.",
        "stopped" => "It is stopped.",
        "taken" => "You look after this order now.",
        "totp" => "Set up your second factor first. Until then nothing else is open to you.",
        "webhook_enabled" => "It is enabled. What has gathered goes out first.",
        "webhook_paused" => "It is paused. Events gather.",
        "webhook_tested" => "A test is on its way.",
        _ => return None,
    })
}

pub fn bad(words: &str) -> Markup {
    html! { p.notice.bad role="alert" { (words) } }
}

pub fn hint(words: &str) -> Markup {
    html! { p.notice { (words) } }
}

pub fn hint_with(content: Markup) -> Markup {
    html! { p.notice { (content) } }
}

/// Across the top of every page.
pub fn banner(is_bad: bool, content: Markup) -> Markup {
    html! { div class={ "banner " (if is_bad { "bad" } else { "warn" }) } role="status" { (content) } }
}
