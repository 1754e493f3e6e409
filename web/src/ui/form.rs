//! Form fields: a label, the field, a hint, and the error that names the fix.

use maud::{Markup, PreEscaped, html};
use uuid::Uuid;

use super::layout;

#[derive(Default)]
pub struct Field<'a> {
    pub name: &'a str,
    /// Where several forms of a page have a field of this name.
    pub id: Option<&'a str>,
    pub label: &'a str,
    pub value: &'a str,
    /// `text`, `email`, `password`, `date`, `number`, `search`
    pub kind: &'a str,
    pub hint: Option<&'a str>,
    pub error: Option<&'a str>,
    pub autocomplete: Option<&'a str>,
    pub required: bool,
    /// The label is read out and not shown.
    pub quiet_label: bool,
    pub placeholder: Option<&'a str>,
}

pub fn field(field: &Field<'_>) -> Markup {
    let kind = if field.kind.is_empty() { "text" } else { field.kind };
    wrap(
        field,
        html! {
            input id=(id(field)) name=(field.name) type=(kind) value=(field.value) required[field.required]
                autocomplete=[field.autocomplete] placeholder=[field.placeholder]
                aria-describedby=[described_by(field)] aria-invalid=[field.error.map(|_| "true")];
        },
    )
}

pub fn text_area(field: &Field<'_>, rows: u8) -> Markup {
    wrap(
        field,
        html! {
            textarea id=(id(field)) name=(field.name) rows=(rows) required[field.required] placeholder=[field.placeholder]
                aria-describedby=[described_by(field)] aria-invalid=[field.error.map(|_| "true")] { (field.value) }
        },
    )
}

/// `options` are value and words; the value of the field is selected.
pub fn select(field: &Field<'_>, options: &[(&str, &str)]) -> Markup {
    wrap(
        field,
        html! {
            select id=(id(field)) name=(field.name) aria-describedby=[described_by(field)] {
                @for (value, words) in options {
                    option value=(value) selected[*value == field.value] { (words) }
                }
            }
        },
    )
}

pub fn checkbox(name: &str, value: &str, words: &str, checked: bool) -> Markup {
    html! { label class="check" { input type="checkbox" name=(name) value=(value) checked[checked]; (words) } }
}

/// One choice of several, each with a line of explanation. `options` are value, words, explanation.
pub fn radios(name: &str, legend: &str, chosen: &str, options: &[(&str, &str, &str)]) -> Markup {
    html! {
        fieldset class="radios" {
            legend { (legend) }
            @for (value, words, explanation) in options {
                label class="check" {
                    input type="radio" name=(name) value=(value) checked[*value == chosen];
                    span class="two" { span { (words) } span class="quiet-text" { (explanation) } }
                }
            }
        }
    }
}

/// A form that changes the address and nothing else: filters and searches.
///
/// `more` are the ones that are rarely needed; they are open where one of them is set.
pub fn filters(action: &str, label: &str, fields: &[Markup], more: (&[Markup], bool), clear: Option<&str>) -> Markup {
    html! {
        form class="filters" method="get" action=(action) role="search" aria-label=(label) {
            @for field in fields { (field) }
            @if !more.0.is_empty() {
                (layout::details_open(more.1, html! { "Dates" }, html! { @for field in more.0 { (field) } }))
            }
            button type="submit" class="button" { "Filter" }
            @if let Some(clear) = clear { a class="button light" href=(clear) { "Clear" } }
        }
    }
}

/// A field and its button in one line.
pub fn one_line(action: &str, key: Uuid, field: Markup, button: Markup) -> Markup {
    html! {
        form class="one-line" method="post" action=(action) {
            (field)
            input type="hidden" name="key" value=(key);
            (button)
        }
    }
}

fn wrap(field: &Field<'_>, control: PreEscaped<String>) -> Markup {
    html! {
        div class={ "field" @if field.error.is_some() { " wrong" } } {
            label for=(id(field)) class=[field.quiet_label.then_some("hidden")] { (field.label) }
            (control)
            @if let Some(hint) = field.hint { p class="hint" id={ (id(field)) "-hint" } { (hint) } }
            @if let Some(error) = field.error { p class="error" id={ (id(field)) "-error" } { (error) } }
        }
    }
}

fn described_by(field: &Field<'_>) -> Option<String> {
    match (field.error, field.hint) {
        (Some(_), _) => Some(format!("{}-error", id(field))),
        (None, Some(_)) => Some(format!("{}-hint", id(field))),
        (None, None) => None,
    }
}

fn id<'a>(field: &Field<'a>) -> &'a str {
    field.id.unwrap_or(field.name)
}

/// Fields one below the other.
pub fn group(fields: &[Markup]) -> Markup {
    html! { div class="fields" { @for field in fields { (field) } } }
}

/// A form over the whole page: fields left, what they are about and the button right.
pub fn columns(action: &str, key: &str, fields: Markup, beside: Markup) -> Markup {
    html! {
        form class="with-rail" method="post" action=(action) {
            input type="hidden" name="key" value=(key);
            div class="stack" { (fields) }
            div class="stack" { (beside) }
        }
    }
}

/// A short form: fields and the button below them.
pub fn short(action: &str, fields: &[Markup], button: Markup) -> Markup {
    html! {
        form class="short" method="post" action=(action) {
            @for field in fields { (field) }
            div class="buttons" { (button) }
        }
    }
}

/// What is wrong, where it is no field.
pub fn wrong(sentence: &str) -> Markup {
    html! { span class="wrong-text" { (sentence) } }
}
