//! What the account pages of both sites show.

use maud::{Markup, html};
use shared::identity::sessions::SessionView;

use super::action::{self, Emphasis};
use super::field::{self, Field};
use super::list::{Row, column, table};
use super::time;
use crate::visit::Visit;

/// Changing the own password. The hidden name tells password managers whose password it is.
pub fn password_form(path: &str, email: &str, problem: Option<&str>) -> Markup {
    html! {
        (field::error(problem))
        form.stack method="post" action=(path) {
            input type="text" name="username" autocomplete="username" value=(email) hidden;
            (Field::text("current_password", "Present password").kind("password").autocomplete("current-password").max(1000).show())
            (Field::text("new_password", "New password").kind("password").autocomplete("new-password").max(1000)
                .hint("At least 8 characters, and none of the common ones. Your other sessions end.").show())
            button.button { "Change the password" }
        }
    }
}

/// Where somebody is signed in, with a button to end each session but the own.
pub fn sessions_table(visit: &Visit, path: &str, sessions: &[SessionView]) -> Markup {
    let columns = [column("From"), column("With"), column("For"), column("Last seen"), column("")];
    let rows: Vec<Row> = sessions
        .iter()
        .map(|session| Row {
            link: None,
            cells: vec![
                html! { (session.address.as_deref().unwrap_or("unknown")) },
                html! { (browser(session.user_agent.as_deref().unwrap_or("unknown"))) },
                html! { (session.surface.name()) },
                time::ago(visit, session.last_seen_at),
                html! {
                    @if session.current { span.quiet { "this one" } }
                    @else { (action::button(&format!("{path}/{}/end", session.id), "End", Emphasis::Plain)) }
                },
            ],
        })
        .collect();
    table("Sessions", &columns, &rows)
}

/// The name of a browser out of what it says of itself, which is long.
fn browser(user_agent: &str) -> String {
    let names =
        [("Firefox/", "Firefox"), ("Edg/", "Edge"), ("Chrome/", "Chrome"), ("Safari/", "Safari"), ("curl/", "curl")];
    let known = names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| (*name).to_owned());
    known.unwrap_or_else(|| user_agent.chars().take(40).collect())
}
