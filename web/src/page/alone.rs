//! A page with nothing around it: signing in to the console.

use maud::{Markup, html};

use super::document;
use crate::reader::Reader;
use crate::ui::icon;

pub fn page(reader: &Reader, title: &str, content: Markup) -> Markup {
    let body = html! {
        main id="main" class="error-page" {
            span class="brand" { (icon::mark()) "Millrace" }
            (content)
        }
    };
    document(reader, "alone", &format!("{title} · Millrace"), &["time.js", "form.js"], body)
}
