//! The log of a webhook: its deliveries, and one delivery with its attempts.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use shared::error::{Error, Resource, Result};
use shared::page::Page;
use shared::principal::Permission;
use shared::values::WebhookId;
use shared::webhooks::deliveries::{
    self, DeliveryDetail, DeliveryFilter, DeliveryState, DeliveryView, EventRef, WebhookAttempt,
};
use shared::webhooks::endpoints;
use shared::webhooks::outcome::AttemptError;
use sqlx::PgConnection;

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::Field;
use crate::ui::icon::Icon;
use crate::ui::list::{Row, column, filters, numbers, pager, query, table, tabs};
use crate::ui::status::{self, Tone};
use crate::ui::{self, notice, time};
use crate::visit::Visit;

/// On the page of the endpoint.
const LATEST: i64 = 10;

const STATES: [(DeliveryState, &str, &str); 4] = [
    (DeliveryState::Pending, "pending", "Waiting"),
    (DeliveryState::Held, "held", "Held"),
    (DeliveryState::Delivered, "delivered", "Delivered"),
    (DeliveryState::Failed, "failed", "Failed"),
];

pub fn routes() -> PageRoutes {
    PageRoutes::default()
        .page("/console/webhooks/{id}/deliveries", list, reads(Permission::WebhooksManage))
        .page("/console/webhooks/{id}/deliveries/{event_id}", show, reads(Permission::WebhooksManage))
        .form("/console/webhooks/{id}/deliveries/{event_id}/redeliver", redeliver, changes(Permission::WebhooksManage))
}

pub(super) fn address(id: WebhookId) -> String {
    format!("{}/deliveries", endpoint(id))
}

fn endpoint(id: WebhookId) -> String {
    format!("/console/webhooks/{id}")
}

/// The latest deliveries, for the page of the endpoint.
pub(super) async fn latest(conn: &mut PgConnection, visit: &Visit, id: WebhookId) -> Result<Markup> {
    let page = Page::parse(Some(LATEST), None, "")?;
    let found = deliveries::list(conn, id, &DeliveryFilter::default(), &page).await?;
    Ok(if found.data.is_empty() {
        ui::empty("Nothing yet", html! { p { "Events appear here as they happen." } })
    } else {
        rows(visit, id, &found.data)
    })
}

async fn list(
    State(web): State<WebState>,
    visit: Visit,
    InPath(id): InPath<WebhookId>,
    RawQuery(raw): RawQuery,
) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let filter = DeliveryFilter {
        state: STATES.iter().find(|(_, name, _)| *name == asked.text("state")).map(|(state, ..)| *state),
        r#type: asked.given("type").map(ToOwned::to_owned),
        subject: asked.optional("subject")?,
    };
    let mut conn = web.db.acquire().await?;
    let webhook = endpoints::get(&mut conn, id).await?;
    let found = deliveries::list(&mut conn, id, &filter, &page).await?;
    drop(conn);
    let content = html! {
        (ui::head_with("Deliveries", html! { a href=(endpoint(id)) { (webhook.url) } " · " (status::webhook(&webhook)) }, html! {}))
        (tabs("State", &state_tabs(&visit, &asked)))
        (filters(&visit, &asked, html! {
            @if let Some(state) = asked.given("state") { input type="hidden" name="state" value=(state); }
            (Field::text("type", "Type").hint("Such as order.paid").optional().sent(&asked).show())
            (Field::text("subject", "About").hint("The id of an order, product, …").optional().sent(&asked).show())
        }))
        (ui::live("deliveries", html! {
            @if found.data.is_empty() {
                (ui::empty("No such delivery", html! { p { "What has arrived is kept for 14 days, what failed for 90." } }))
            } @else { (rows(&visit, id, &found.data)) (pager(&visit, found.next_cursor.as_deref())) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Deliveries", content).await?)
}

fn state_tabs(visit: &Visit, asked: &Fields) -> Vec<(String, String, bool)> {
    let open = asked.text("state");
    let tab = |words: &str, name: Option<&'static str>| {
        (words.to_owned(), query(visit, &[("state", name), ("cursor", None)]), open == name.unwrap_or_default())
    };
    let mut tabs = vec![tab("All", None)];
    tabs.extend(STATES.iter().map(|(_, name, words)| tab(words, Some(name))));
    tabs
}

fn state(state: DeliveryState) -> Markup {
    let (tone, icon) = match state {
        DeliveryState::Pending => (Tone::Busy, Icon::Activity),
        DeliveryState::Held => (Tone::Waiting, Icon::Pause),
        DeliveryState::Delivered => (Tone::Good, Icon::Check),
        DeliveryState::Failed => (Tone::Bad, Icon::Alert),
    };
    let word = STATES.iter().find(|(it, ..)| *it == state).map_or("", |(_, _, word)| word);
    status::badge(tone, icon, word)
}

fn rows(visit: &Visit, id: WebhookId, deliveries: &[DeliveryView]) -> Markup {
    let columns = [
        column("Event"),
        column("State"),
        numbers("Attempts"),
        column("About"),
        column("Happened"),
        column("Next attempt"),
    ];
    let rows: Vec<Row> = deliveries
        .iter()
        .map(|delivery| Row {
            link: Some(format!("{}/{}", address(id), delivery.event_id)),
            cells: vec![
                html! { (delivery.r#type) },
                state(delivery.state),
                html! { (delivery.attempts) },
                html! { (delivery.subject.r#type) " " (ui::id(delivery.subject.id)) " no. " (delivery.sequence) },
                time::ago(visit, delivery.created_at),
                html! { @if let Some(at) = delivery.next_attempt_at { (time::ago(visit, at)) } @else { span.quiet { "–" } } },
            ],
        })
        .collect();
    table("Deliveries", &columns, &rows)
}

async fn show(
    State(web): State<WebState>,
    visit: Visit,
    InPath((id, event_id)): InPath<(WebhookId, String)>,
) -> PageResult {
    Ok(page(&web, &visit, id, event(&event_id)?, None).await?)
}

fn event(id: &str) -> Result<EventRef> {
    EventRef::parse(id).ok_or(Error::NotFound(Resource::Delivery))
}

async fn page(web: &WebState, visit: &Visit, id: WebhookId, event: EventRef, problem: Option<&str>) -> Result<Markup> {
    let mut conn = web.db.acquire().await?;
    let webhook = endpoints::get(&mut conn, id).await?;
    let detail = deliveries::get(&mut conn, id, event).await?;
    drop(conn);
    let delivery = &detail.delivery;
    let has_ended = matches!(delivery.state, DeliveryState::Delivered | DeliveryState::Failed);
    let again = format!("{}/{}/redeliver", address(id), delivery.event_id);
    let content = html! {
        (ui::head_with(&delivery.r#type, html! { "to " a href=(endpoint(id)) { (webhook.url) } }, html! {
            @if has_ended { (action::button(&again, "Send it again", if delivery.state == DeliveryState::Failed { Emphasis::Primary } else { Emphasis::Plain })) }
        }))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        (ui::live("delivery", html! { (facts(visit, &detail)) (attempts(visit, &detail.history)) }))
        (ui::block("What is sent", html! { pre { code { (pretty(&detail.body)) } } }))
    };
    shell::live_page(web, visit, &delivery.r#type, content).await
}

fn facts(visit: &Visit, detail: &DeliveryDetail) -> Markup {
    let delivery = &detail.delivery;
    let none = || html! { span.quiet { "none" } };
    ui::block(
        "About it",
        ui::facts(&[
            ("State", state(delivery.state)),
            ("Attempts", html! { (delivery.attempts) }),
            ("Next attempt", delivery.next_attempt_at.map_or_else(none, |at| time::both(visit, at))),
            ("Arrived", delivery.delivered_at.map_or_else(none, |at| time::both(visit, at))),
            (
                "About",
                html! {
                    (delivery.subject.r#type) " " (ui::id(delivery.subject.id)) ", its event number " (delivery.sequence) " · "
                    a href={ "/console/search?q=" (delivery.subject.id) } { "Open it" }
                },
            ),
            ("Event", ui::id(&delivery.event_id)),
        ]),
    )
}

fn attempts(visit: &Visit, history: &[WebhookAttempt]) -> Markup {
    if history.is_empty() {
        return html! {};
    }
    let columns = [column("Attempt"), column("At"), numbers("Took"), column("How"), column("Answer")];
    let rows: Vec<Row> = history
        .iter()
        .rev()
        .map(|attempt| Row {
            link: None,
            cells: vec![
                html! { (attempt.attempt) },
                time::both(visit, attempt.at),
                html! { (time::millis(attempt.ms.into())) },
                how(attempt),
                html! { (attempt.response.as_deref().unwrap_or("")) },
            ],
        })
        .collect();
    ui::block("Attempts", table("Attempts", &columns, &rows))
}

fn how(attempt: &WebhookAttempt) -> Markup {
    let word = match attempt.error {
        None => return status::badge(Tone::Good, Icon::Check, &attempt.status.unwrap_or_default().to_string()),
        Some(AttemptError::Status) => format!("Answered {}", attempt.status.unwrap_or_default()),
        Some(AttemptError::Timeout) => "No answer in time".to_owned(),
        Some(AttemptError::Connection) => "No connection".to_owned(),
        Some(AttemptError::Tls) => "TLS failed".to_owned(),
        Some(AttemptError::AddressNotAllowed) => "The address is not allowed".to_owned(),
    };
    status::badge(Tone::Bad, Icon::Alert, &word)
}

fn pretty(body: &str) -> String {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(body);
    parsed.ok().and_then(|json| serde_json::to_string_pretty(&json).ok()).unwrap_or_else(|| body.to_owned())
}

async fn redeliver(
    State(web): State<WebState>,
    InPath((id, event_id)): InPath<(WebhookId, String)>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    let event = event(&event_id)?;
    match deliveries::redeliver(&mut once.tx, &principal, id, event).await {
        Ok((_, rings)) => {
            let left = once.leave(&and_say(&format!("{}/{event_id}", address(id)), "redelivered")).await?;
            web.doorbell.ring(rings);
            Ok(left)
        }
        Err(error) => {
            let page = page(&web, &once.visit, id, event, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}
