//! Sentences across the page: what is wrong now, and what the last press did.

use maud::{Markup, html};

use super::Tone;
use super::icon::{Icon, icon};

/// One that stays while its cause does.
#[derive(Debug, Clone)]
pub struct Banner {
    pub tone: Tone,
    pub text: String,
    /// Address and words of what to do about it.
    pub link: Option<(String, String)>,
}

/// The most urgent comes first; the caller sorts.
pub fn banners(banners: &[Banner]) -> Markup {
    html! {
        @if !banners.is_empty() {
            div class="banners" role="region" aria-label="Notices" { @for banner in banners { (one(banner)) } }
        }
    }
}

fn one(banner: &Banner) -> Markup {
    html! {
        div class={ "banner " (banner.tone.name()) } {
            (icon(sign(banner.tone)))
            p { (banner.text) }
            @if let Some((href, words)) = &banner.link { a href=(href) { (words) } }
        }
    }
}

/// What came of the last press; read out when the page loads.
#[derive(Debug, Clone)]
pub struct Flash {
    pub tone: Tone,
    pub text: String,
}

pub fn flash(flash: &Flash) -> Markup {
    html! {
        div class={ "banner flash " (flash.tone.name()) } role=(if flash.tone == Tone::Bad { "alert" } else { "status" }) {
            (icon(sign(flash.tone)))
            p { (flash.text) }
        }
    }
}

fn sign(tone: Tone) -> Icon {
    match tone {
        Tone::Good => Icon::Check,
        Tone::Warn => Icon::Alert,
        Tone::Bad => Icon::Failures,
        Tone::Info | Tone::Quiet => Icon::Bell,
    }
}
