//! How something stands, in one sentence.

use maud::{Markup, html};

use super::Tone;
use super::icon::Icon;
use super::status::status;

pub struct Verdict {
    pub name: &'static str,
    pub href: &'static str,
    pub tone: Tone,
    pub sign: Icon,
    /// One word: `Kept`, `Waiting`.
    pub word: &'static str,
    pub sentence: Markup,
    /// Numbers below it.
    pub detail: Markup,
}

pub fn verdict(verdict: &Verdict) -> Markup {
    html! {
        section class="verdict" {
            header { h2 { a href=(verdict.href) { (verdict.name) } } (status(verdict.tone, verdict.sign, verdict.word)) }
            p class="sentence" { (verdict.sentence) }
            div class="detail" { (verdict.detail) }
        }
    }
}
