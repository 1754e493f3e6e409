//! Shares of a whole: a bar, and the strip of a job's attempts.

use maud::{Markup, html};

use super::Tone;

/// `value` of `whole`; the numbers stand beside it in words.
pub fn bar(tone: Tone, value: i64, whole: i64) -> Markup {
    let share = if whole <= 0 { 0 } else { (value.clamp(0, whole) * 1_000) / whole };
    html! {
        svg class={ "bar " (tone.name()) } viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect class="whole" x="0" y="0" width="1000" height="10" {}
            rect class="part" x="0" y="0" width=(share) height="10" {}
        }
    }
}

/// One tick for each attempt that a job may have: failed, running or left.
pub fn attempts(failed: i32, running: bool, most: i32) -> Markup {
    // A retried job may have many attempts; more ticks than this cannot be told apart.
    let most = most.clamp(0, 24);
    html! {
        svg class="ticks" viewBox={ "0 0 " (most * 6) " 12" } width=(most * 6) height="12" aria-hidden="true" focusable="false" {
            @for place in 0..most {
                rect class=(tick(place, failed, running)) x=(place * 6) y="1" width="4" height="10" rx="1" {}
            }
        }
    }
}

fn tick(place: i32, failed: i32, running: bool) -> &'static str {
    if place < failed {
        "bad"
    } else if running && place == failed {
        "info"
    } else {
        "left"
    }
}
