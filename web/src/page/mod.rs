//! What stands around every page: the document, the console's rail and head, the shop's head and foot, errors.

pub mod alone;
pub mod console;
pub mod error;
pub mod shop;

use maud::{DOCTYPE, Markup, html};

use crate::assets::href;
use crate::reader::{Reader, Theme};

/// The whole document. Scripts are modules of our own: a page works without them.
fn document(reader: &Reader, surface: &str, title: &str, scripts: &[&str], body: Markup) -> Markup {
    let theme = (reader.theme != Theme::System).then(|| reader.theme.name());
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                meta name="rendered-at" content=(reader.now.format("%Y-%m-%dT%H:%M:%SZ"));
                title { (title) }
                link rel="preload" href="/assets/inter-latin.woff2" as="font" type="font/woff2" crossorigin;
                link rel="stylesheet" href=(href("millrace.css"));
                link rel="icon" href=(href("icon.svg")) type="image/svg+xml";
                @for script in scripts { script type="module" src=(href(script)) {} }
            }
            body class=(surface) {
                a class="skip" href="#main" { "Skip to the content" }
                (body)
            }
        }
    }
}

/// In which zone the times on this page are.
fn zone(reader: &Reader) -> Markup {
    html! { span data-zone=(reader.zone.name()) { "Times in " (reader.zone.name().replace('_', " ")) } }
}
