//! The record of what people did: who, what, to what, why, when, from where.

use maud::{Markup, html};
use shared::actions::{self, ActionFilter, ActionView};
use shared::error::{Error, Result};
use shared::page::Page;

use super::frame::frame;
use crate::answer::PageResult;
use crate::page::console::{ConsoleFrame, Screen, page};
use crate::reader::Reader;
use crate::ui::form::{self, Field};
use crate::ui::icon::Icon;
use crate::ui::pages::pages;
use crate::ui::table::{self, CellPlace, Table};
use crate::ui::{copy, layout, state, time, words};
use crate::visit::Visit;

pub struct ActivityPage {
    pub actions: Vec<ActionView>,
    pub action: String,
    pub subject: String,
    pub actor: String,
    pub newer: Option<String>,
    pub older: Option<String>,
}

const PAGE: i64 = 50;

pub async fn activity(visit: Visit) -> PageResult {
    let [action, subject, actor] = ["action", "subject", "actor"].map(|name| visit.query(name));
    let filter = ActionFilter {
        action: action.clone(),
        subject_id: subject.clone(),
        actor_id: actor.as_deref().map(id).transpose()?,
        ..ActionFilter::default()
    };
    let cursor = visit.query("cursor");
    let given = [("action", &action), ("subject", &subject), ("actor", &actor)];
    let given = given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let query: String = given.map(|(name, value)| format!("{name}={}&", words::segment(value))).collect();
    let asked = Page::parse(Some(PAGE), cursor.as_deref(), &query)?;
    let found = actions::list(&mut *visit.connection().await?, &filter, &asked).await?;
    let start = format!("/console/activity?{query}");
    let shown = ActivityPage {
        actions: found.data,
        newer: cursor.map(|_| start.trim_end_matches(['&', '?']).to_owned()),
        older: found.next_cursor.map(|next| format!("{start}cursor={next}")),
        action: action.unwrap_or_default(),
        subject: subject.unwrap_or_default(),
        actor: actor.unwrap_or_default(),
    };
    Ok(visit.page(render(&frame(&visit)?, &shown)))
}

fn id(text: &str) -> Result<uuid::Uuid> {
    text.parse().map_err(|_| Error::field("actor", "invalid_id", "this is not the id of a person"))
}

pub fn render(frame: &ConsoleFrame, shown: &ActivityPage) -> Markup {
    let content = html! {
        (layout::title("Activity", html! {}, html! {}))
        (layout::subtitle(html! { "Everything that people did by hand. Nobody can change or delete a line." }))
        (filters(shown))
        @if shown.actions.is_empty() { (nothing(shown)) } @else { (list(frame, shown)) }
    };
    page(frame, Screen::Activity, "Activity", content)
}

/// The actions that are searched for most, with their words.
const ACTIONS: [(&str, &str); 12] = [
    ("", "Any action"),
    ("job.retried", "Retried a job"),
    ("job.discarded", "Gave up a job"),
    ("order.moved", "Moved an order"),
    ("order.cancel_requested", "Cancelled an order"),
    ("stock.adjusted", "Adjusted stock"),
    ("product.changed", "Changed a product"),
    ("queue.paused", "Paused a queue"),
    ("queue.resumed", "Resumed a queue"),
    ("user.changed", "Changed a user"),
    ("auth.signed_in", "Signed in"),
    ("auth.sign_in_failed", "Failed to sign in"),
];

fn filters(shown: &ActivityPage) -> Markup {
    let subject = Field {
        name: "subject",
        label: "Done to (id or name)",
        value: &shown.subject,
        quiet_label: true,
        placeholder: Some("Done to (id or name)"),
        ..Field::default()
    };
    let action = Field { name: "action", label: "Action", value: &shown.action, quiet_label: true, ..Field::default() };
    let actor = html! { @if !shown.actor.is_empty() { input type="hidden" name="actor" value=(shown.actor); } };
    let filtered = !(shown.action.is_empty() && shown.subject.is_empty() && shown.actor.is_empty());
    form::filters(
        "/console/activity",
        "Filter the record",
        &[form::field(&subject), form::select(&action, &ACTIONS), actor],
        (&[], false),
        filtered.then_some("/console/activity"),
    )
}

fn nothing(shown: &ActivityPage) -> Markup {
    if shown.action.is_empty() && shown.subject.is_empty() && shown.actor.is_empty() {
        return state::empty(Icon::Activity, "Nobody has done anything by hand yet.", "", html! {});
    }
    state::no_match("actions", "/console/activity")
}

fn list(frame: &ConsoleFrame, shown: &ActivityPage) -> Markup {
    let columns = vec![
        table::text("Who", CellPlace::Title),
        table::text("When", CellPlace::End),
        table::text("What", CellPlace::Meta),
        table::text("Done to", CellPlace::Meta),
        table::text("Why", CellPlace::Meta),
        table::text("From", CellPlace::Wide),
        table::text("Request", CellPlace::Wide),
    ];
    let rows = shown.actions.iter().map(|action| row(&frame.reader, action).into()).collect();
    let mut actions = Table::new("What people did, newest first", columns, rows);
    actions.sticky = true;
    let label = words::count(shown.actions.len() as i64, "action on this page", "actions on this page");
    html! {
        (table::table(actions))
        (pages(&label, shown.newer.as_deref(), shown.older.as_deref()))
    }
}

fn row(reader: &Reader, action: &ActionView) -> Vec<Markup> {
    let who = match &action.by {
        Some(by) => layout::link(&format!("/console/activity?actor={}", by.id), &by.name),
        None => layout::quiet(html! { "nobody signed in" }),
    };
    vec![
        who,
        time::with_ago(reader, action.at),
        html! { (what(&action.action)) },
        subject(action),
        html! { (action.reason.as_deref().unwrap_or_default()) },
        layout::quiet(html! { (action.address.as_deref().unwrap_or_default()) }),
        html! { @if let Some(id) = &action.request_id { (copy::button("request id", id)) } },
    ]
}

fn what(action: &str) -> String {
    let known = ACTIONS.iter().find(|(name, _)| *name == action).map(|(_, words)| (*words).to_owned());
    known.unwrap_or_else(|| words::first_upper(&action.replace(['.', '_'], " ")))
}

/// What it was done to: an order is a link, everything else is named.
fn subject(action: &ActionView) -> Markup {
    let id = &action.subject_id;
    let label = action.data.get("kind").and_then(|kind| kind.as_str()).map(words::job_kind);
    match action.subject_type.as_str() {
        "order" => layout::link(&format!("/console/orders/{}", words::segment(id)), "The order"),
        "job" => {
            layout::link(&format!("/console/jobs/{}", words::segment(id)), &label.unwrap_or_else(|| "A job".to_owned()))
        }
        "queue" => html! { "Queue " (id) },
        kind => html! { (label.unwrap_or_else(|| words::first_upper(kind))) " " (copy::button("id", id)) },
    }
}
