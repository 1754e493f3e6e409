//! Tabs: links between views of the same list, each with its bounded count.

use maud::{Markup, html};

use super::words::Bounded;

pub struct Tab<'a> {
    pub href: &'a str,
    pub words: &'a str,
    pub count: Option<Bounded>,
    pub here: bool,
}

pub fn tabs(label: &str, tabs: &[Tab<'_>]) -> Markup {
    html! {
        nav class="tabs" aria-label=(label) {
            ul {
                @for tab in tabs {
                    li {
                        a href=(tab.href) aria-current=[tab.here.then_some("page")] {
                            (tab.words)
                            @if let Some(count) = tab.count { span class="count" { (count.short()) } }
                        }
                    }
                }
            }
        }
    }
}
