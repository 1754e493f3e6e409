//! What happens next, and what the reader can do about it. The one box of a page.

use maud::{Markup, html};

use super::Tone;
use super::icon::{Icon, icon};

pub struct Callout {
    pub tone: Tone,
    pub sign: Icon,
    pub headline: String,
    pub detail: Markup,
    pub buttons: Vec<Markup>,
    /// What the buttons will do, where that needs words.
    pub remark: String,
}

pub fn callout(callout: &Callout) -> Markup {
    html! {
        section class={ "callout " (callout.tone.name()) } aria-labelledby="next" {
            span class="sign" { (icon(callout.sign)) }
            div class="says" {
                h2 id="next" { (callout.headline) }
                div class="detail" { (callout.detail) }
                @if !callout.buttons.is_empty() {
                    div class="buttons" id="actions" { @for button in &callout.buttons { (button) } }
                }
                @if !callout.remark.is_empty() { p class="remark" { (callout.remark) } }
            }
        }
    }
}
