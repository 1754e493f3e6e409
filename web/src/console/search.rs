//! One box for everything. An exact hit opens at once; the palette (Ctrl K) asks for the bare list.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use shared::error::Error;
use shared::ops::search::{self, Found, FoundType};
use shared::principal::Permission;
use shared::values::search::Search;

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::once::see_other;
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, reads};
use crate::ui;
use crate::ui::list::{Row, column, segment, table};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/console/search", find, reads(Permission::OpsRead))
}

async fn find(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult<Response> {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let typed: String = asked.text("q").chars().take(Search::MAX_CHARACTERS).collect();
    let q = Search::try_from(typed.clone()).map_err(|invalid| Error::InvalidFields(vec![invalid.at("q")]))?;
    let mut found = search::find(&mut *web.db.acquire().await?, &q).await?;
    found.retain(|it| it.r#type != FoundType::User || visit.may(Permission::UsersWrite));
    if asked.text("format") == "list" {
        return Ok(options(&found).into_response());
    }
    if let [only] = found.as_slice() {
        return Ok(see_other(&link(only)));
    }
    let columns = [column("Found"), column("What"), column("About it")];
    let rows: Vec<Row> = found
        .iter()
        .map(|it| Row {
            link: Some(link(it)),
            cells: vec![html! { (title(it)) }, html! { (noun(it.r#type)) }, html! { (it.detail) }],
        })
        .collect();
    let content = html! {
        (ui::head(&format!("Search: {typed}"), html! {}))
        @if rows.is_empty() {
            (ui::empty("Nothing has that in it", html! {
                p { "Try an order's number, a tracking number, the beginning of an e-mail address, or a part of a name or a SKU." }
            }))
        } @else { (table("Found", &columns, &rows)) }
    };
    Ok(shell::still_page(&web, &visit, "Search", content).await?.into_response())
}

fn options(found: &[Found]) -> Markup {
    html! { ul role="listbox" { @for it in found { li role="option" {
        a href=(link(it)) tabindex="-1" { (title(it)) } span.quiet { (noun(it.r#type)) ", " (it.detail) }
    } } } }
}

fn title(found: &Found) -> &str {
    if found.r#type == FoundType::Job { ui::status::job_name(&found.title) } else { &found.title }
}

const fn noun(kind: FoundType) -> &'static str {
    match kind {
        FoundType::Order => "order",
        FoundType::Customer => "customer",
        FoundType::Product => "product",
        FoundType::Job => "job",
        FoundType::User => "user",
    }
}

fn link(found: &Found) -> String {
    match found.r#type {
        FoundType::Order => format!("/console/orders/{}", found.title),
        FoundType::Customer => format!("/console/customers/{}", found.id),
        FoundType::Product => format!("/console/products/{}", segment(&found.title)),
        FoundType::Job => format!("/console/jobs/{}", found.id),
        FoundType::User => format!("/console/users/{}", found.id),
    }
}
