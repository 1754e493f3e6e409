//! Who did what by hand, and why.

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use shared::actions::{self, ActionFilter, ActionView};
use shared::page::Page;
use shared::principal::Permission;

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, reads};
use crate::ui::field::Field;
use crate::ui::list::{Row, column, filters, pager, segment, table};
use crate::ui::{self, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/console/activity", list, reads(Permission::OpsRead))
}

async fn list(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let filter = ActionFilter {
        action: asked.given("action").map(ToOwned::to_owned),
        actor_id: asked.optional("actor_id")?,
        subject_id: asked.given("subject_id").map(ToOwned::to_owned),
        from: asked.given("from").and_then(|text| time::parse(text, visit.zone)),
        to: asked.given("to").and_then(|text| time::parse(text, visit.zone)),
    };
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let done = actions::list(&mut *web.db.acquire().await?, &filter, &page).await?;
    let content = html! {
        (ui::head("Activity", html! {}))
        (filters(&visit, &asked, html! {
            (Field::text("action", "What").optional().sent(&asked).hint("such as job.retried").show())
            (Field::text("subject_id", "On which id").optional().sent(&asked).show())
            (Field::text("from", "From").kind("date").optional().sent(&asked).show())
            (Field::text("to", "Before").kind("date").optional().sent(&asked).show())
        }))
        (ui::live("activity", html! {
            @if done.data.is_empty() {
                (ui::empty("Nobody has done anything like that", html! { p { "What people do by hand is listed here, for good." } }))
            } @else { (rows(&visit, &done.data)) (pager(&visit, done.next_cursor.as_deref())) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Activity", content).await?)
}

pub fn rows(visit: &Visit, done: &[ActionView]) -> Markup {
    let columns = [column("What"), column("Who"), column("On"), column("Why"), column("When")];
    let rows: Vec<Row> = done
        .iter()
        .map(|action| Row {
            link: link(action),
            cells: vec![
                html! { (words(&action.action)) },
                html! { @if let Some(by) = &action.by { (by.name) } @else { span.quiet { "nobody signed in" } } },
                html! { (action.subject_type.replace('_', " ")) " " (short(&action.subject_id)) },
                html! { (action.reason.as_deref().unwrap_or("")) },
                time::both(visit, action.at),
            ],
        })
        .collect();
    table("Activity", &columns, &rows)
}

/// `job.retried` → `Job retried`, `auth.signed_in` → `Signed in`.
fn words(action: &str) -> String {
    let text = action.strip_prefix("auth.").unwrap_or(action).replace(['.', '_'], " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().to_string() + letters.as_str())
}

fn short(id: &str) -> String {
    if id.len() > 20 { format!("…{}", &id[id.len() - 8..]) } else { id.to_owned() }
}

/// The page of what it was done to.
fn link(action: &ActionView) -> Option<String> {
    let id = segment(&action.subject_id);
    Some(match action.subject_type.as_str() {
        "order" | "product" | "stock" => format!("/console/search?q={id}"),
        "job" => format!("/console/jobs/{id}"),
        "customer" => format!("/console/customers/{id}"),
        "queue" => "/console/queues".to_owned(),
        "audit_run" => "/console/audit".to_owned(),
        "bulk" => format!("/console/bulk/{id}"),
        _ => return None,
    })
}
