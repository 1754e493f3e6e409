//! How far an order is: steps from left to right, on a phone from top to bottom.

use maud::{Markup, html};

use super::icon::{Icon, icon};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Done,
    Now,
    /// It stands still here and waits for a person.
    Stuck,
    Next,
    /// The order ended here and not at the last step.
    Ended,
}

pub struct Step {
    pub name: &'static str,
    pub stage: Stage,
    /// When it was done, or what is expected.
    pub note: Markup,
}

pub fn stepper(label: &str, steps: &[Step]) -> Markup {
    html! {
        ol class="stepper" aria-label=(label) {
            @for step in steps {
                li class=(class(step.stage)) aria-current=[matches!(step.stage, Stage::Now | Stage::Stuck).then_some("step")] {
                    span class="dot" { @if let Some(sign) = sign(step.stage) { (icon(sign)) } }
                    p { span class="name" { (step.name) } @if let Some(state) = state(step.stage) { span class="hidden" { ", " (state) } } }
                    p class="note" { (step.note) }
                }
            }
        }
    }
}

fn class(stage: Stage) -> &'static str {
    match stage {
        Stage::Done => "done",
        Stage::Now => "now",
        Stage::Stuck => "stuck",
        Stage::Next => "next",
        Stage::Ended => "ended",
    }
}

fn sign(stage: Stage) -> Option<Icon> {
    match stage {
        Stage::Done => Some(Icon::Check),
        Stage::Stuck => Some(Icon::Pause),
        Stage::Ended => Some(Icon::Close),
        Stage::Now | Stage::Next => None,
    }
}

fn state(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Done => Some("done"),
        Stage::Now => None,
        Stage::Stuck => Some("waits for a person"),
        Stage::Next => Some("still to come"),
        Stage::Ended => Some("ended"),
    }
}
