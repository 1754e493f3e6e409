//! Fields of forms. Each has a label, and the error stands beside it.

use maud::{Markup, html};

use crate::form::Fields;

/// A field of one line.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Field<'a> {
    /// Tells the fields of several forms on a page apart.
    pub form: &'a str,
    pub name: &'a str,
    pub label: &'a str,
    pub kind: &'a str,
    pub value: &'a str,
    pub hint: &'a str,
    pub autocomplete: &'a str,
    pub required: bool,
    pub max: u32,
}

impl<'a> Field<'a> {
    pub const fn text(name: &'a str, label: &'a str) -> Self {
        Self { form: "", name, label, kind: "text", value: "", hint: "", autocomplete: "off", required: true, max: 200 }
    }

    /// For a page with several forms that have a field of this name.
    pub const fn within(self, form: &'a str) -> Self {
        Self { form, ..self }
    }

    pub const fn kind(self, kind: &'a str) -> Self {
        Self { kind, ..self }
    }

    pub const fn value(self, value: &'a str) -> Self {
        Self { value, ..self }
    }

    pub const fn hint(self, hint: &'a str) -> Self {
        Self { hint, ..self }
    }

    pub const fn autocomplete(self, autocomplete: &'a str) -> Self {
        Self { autocomplete, ..self }
    }

    pub const fn optional(self) -> Self {
        Self { required: false, ..self }
    }

    pub const fn max(self, max: u32) -> Self {
        Self { max, ..self }
    }

    /// With what was sent, for a form that is shown again.
    pub fn sent(self, fields: &'a Fields) -> Self {
        match fields.given(self.name) {
            Some(value) if self.kind != "password" => Self { value, ..self },
            _ => self,
        }
    }

    pub fn show(self) -> Markup {
        let id = id_of(self.form, self.name);
        let numeric = self.kind == "number";
        let limit = (!numeric && !matches!(self.kind, "date" | "datetime-local")).then_some(self.max);
        html! {
            div.field {
                label for=(id) { (self.label) @if !self.required { span.quiet { " (optional)" } } }
                input id=(id) name=(self.name) type=(self.kind) value=(self.value) autocomplete=(self.autocomplete)
                    maxlength=[limit] required[self.required] step=[numeric.then_some("1")]
                    aria-describedby=[(!self.hint.is_empty()).then(|| format!("{id}-hint"))];
                @if !self.hint.is_empty() { p.hint id={ (id) "-hint" } { (self.hint) } }
            }
        }
    }
}

/// A field of several lines.
pub fn area(name: &str, label: &str, value: &str, max: u32) -> Markup {
    html! {
        div.field {
            label for={ "field-" (name) } { (label) }
            textarea id={ "field-" (name) } name=(name) maxlength=(max) rows="3" { (value) }
        }
    }
}

/// A choice from a list: value and words.
pub fn select(name: &str, label: &str, choices: &[(String, String)], chosen: &str) -> Markup {
    select_within("", name, label, choices, chosen)
}

/// The same on a page with several forms that have a field of this name.
pub fn select_within(form: &str, name: &str, label: &str, choices: &[(String, String)], chosen: &str) -> Markup {
    let id = id_of(form, name);
    html! {
        div.field {
            label for=(id) { (label) }
            select id=(id) name=(name) {
                @for (value, words) in choices {
                    option value=(value) selected[value == chosen] { (words) }
                }
            }
        }
    }
}

fn id_of(form: &str, name: &str) -> String {
    if form.is_empty() { format!("field-{name}") } else { format!("field-{form}-{name}") }
}

/// A box to tick.
pub fn tick(name: &str, label: &str, on: bool) -> Markup {
    html! { label.tick { input type="checkbox" name=(name) value="on" checked[on]; " " (label) } }
}

/// The error of a whole form.
pub fn error(words: Option<&str>) -> Markup {
    html! { @if let Some(words) = words { p.notice.bad role="alert" { (words) } } }
}
