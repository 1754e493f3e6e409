//! Webhooks: the endpoints, one endpoint with what can be done with it, and sending many deliveries again.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use shared::error::{Error, Result};
use shared::page::{MAX_LIMIT, Page};
use shared::principal::Permission;
use shared::values::WebhookId;
use shared::webhooks::deliveries;
use shared::webhooks::endpoints::{
    self, ChangeWebhook, DisabledReason, NewWebhook, RotateSecret, WebhookState, WebhookView,
};
use shared::webhooks::receiver_url::{LONGEST_URL, ReceiverUrl};
use shared::webhooks::replay::{self, ReplayOnly, ReplayWebhook};

use super::{shell, webhook_log};
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::{self, Field};
use crate::ui::list::{Row, column, numbers, table};
use crate::ui::{self, notice, status, time};
use crate::visit::Visit;

const HERE: &str = "/console/webhooks";

pub fn routes() -> PageRoutes {
    let (read, change) = (reads(Permission::WebhooksManage), changes(Permission::WebhooksManage));
    PageRoutes::default()
        .page(HERE, list, read)
        .form(HERE, create, change)
        .page("/console/webhooks/{id}", show, read)
        .form("/console/webhooks/{id}", save, change)
        .form("/console/webhooks/{id}/pause", pause, change)
        .form("/console/webhooks/{id}/enable", enable, change)
        .form("/console/webhooks/{id}/test", test, change)
        .form("/console/webhooks/{id}/rotate", rotate, change)
        .form("/console/webhooks/{id}/delete", delete, change)
        .form("/console/webhooks/{id}/replay", send_again, change)
}

fn address(id: WebhookId) -> String {
    format!("{HERE}/{id}")
}

// ---- the list -------------------------------------------------------------------------------

async fn list(State(web): State<WebState>, visit: Visit) -> PageResult {
    Ok(list_page(&web, &visit, &Fields::default(), None).await?)
}

async fn list_page(web: &WebState, visit: &Visit, sent: &Fields, problem: Option<&str>) -> Result<Markup> {
    let webhooks = endpoints::list(&mut *web.db.acquire().await?, &Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    let off = web.settings.webhooks.webhook_master_key.is_none();
    let columns = [column("Endpoint"), column("State"), column("Events"), numbers("Waiting"), column("Last success")];
    let rows: Vec<Row> = webhooks
        .iter()
        .map(|webhook| Row {
            link: Some(address(webhook.id)),
            cells: vec![
                html! { (webhook.description.as_ref().map_or(webhook.url.as_str(), |it| it.as_str())) },
                status::webhook(webhook),
                html! { (webhook.types.join(", ")) },
                html! { (ui::number(webhook.pending)) },
                html! { @if let Some(at) = webhook.last_success_at { (time::ago(visit, at)) } @else { span.quiet { "none yet" } } },
            ],
        })
        .collect();
    let below = html! { "Other programs get events as they happen, signed and in order." };
    let content = html! {
        (ui::head_with("Webhooks", below, html! { @if !off {
            (action::ask("New webhook", Emphasis::Primary, action::form(HERE, "Register it", Emphasis::Primary, fields(sent))))
        } }))
        @if off { (notice::hint("Webhooks are off here: WEBHOOK_MASTER_KEY is not set.")) }
        @if let Some(problem) = problem { (notice::bad(problem)) }
        (ui::live("webhooks", html! {
            @if rows.is_empty() { (ui::empty("No webhook yet", html! { p { "Register the address of a program that wants to know what happens." } })) }
            @else { (table("Webhooks", &columns, &rows)) }
        }))
    };
    shell::live_page(web, visit, "Webhooks", content).await
}

const LONGEST_FIELD: u32 = 2000;

fn fields(sent: &Fields) -> Markup {
    debug_assert_eq!(LONGEST_FIELD as usize, LONGEST_URL);
    html! {
        (Field::text("url", "URL").kind("url").max(LONGEST_FIELD).hint("https, such as https://erp.example/hooks").sent(sent).show())
        (Field::text("types", "Events").value("order.*").max(2000).hint("With commas: order.*, product.changed, stock.low; * is everything").sent(sent).show())
        (Field::text("description", "Description").optional().hint("Who it belongs to").sent(sent).show())
        (Field::text("max_per_second", "At most per second").kind("number").optional().sent(sent).show())
    }
}

fn types(fields: &Fields) -> Vec<String> {
    fields.text("types").split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

async fn create(State(web): State<WebState>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let key = web.settings.webhooks.master_key()?;
        let new = NewWebhook {
            url: once.fields.text("url").trim().to_owned(),
            types: types(&once.fields),
            description: once.fields.optional("description")?,
            max_per_second: once
                .fields
                .given("max_per_second")
                .map(|_| once.fields.whole("max_per_second"))
                .transpose()?,
        };
        judge(&web, &new.url).await?;
        let webhook = endpoints::create(&mut once.tx, once.visit.principal()?, &new).await?;
        let secret = key.secret(webhook.id, 1).text();
        Ok((webhook, secret))
    };
    match done.await {
        Ok((webhook, secret)) => {
            let visit = once.visit.clone();
            once.leave(&and_say(&address(webhook.id), "changed")).await?;
            Ok(secret_page(&web, &visit, &webhook, &secret).await?.into_response())
        }
        Err(error) => {
            let page = list_page(&web, &once.visit, &once.fields, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

/// Only a name of an inner network is looked up, for two seconds at most. The open transaction holds only the key of the form.
async fn judge(web: &WebState, url: &str) -> Result<()> {
    ReceiverUrl::parse(url)?.judge(&web.settings.webhooks.webhook_allow).await
}

/// The secret is shown once, so the answer is a page.
async fn secret_page(web: &WebState, visit: &Visit, webhook: &WebhookView, secret: &str) -> Result<Markup> {
    let content = html! {
        (ui::head("The secret of this webhook", html! {}))
        p.lead { "Give it to the program that gets the events: it verifies the signatures with it. It is shown only now." }
        p { code { (secret) } " " (ui::copy(secret)) }
        p { a.button.primary href=(address(webhook.id)) { "Go on" } }
    };
    shell::still_page(web, visit, "The secret", content).await
}

// ---- one endpoint ---------------------------------------------------------------------------

async fn show(State(web): State<WebState>, visit: Visit, InPath(id): InPath<WebhookId>) -> PageResult {
    Ok(page(&web, &visit, id, None, None).await?)
}

async fn page(
    web: &WebState,
    visit: &Visit,
    id: WebhookId,
    problem: Option<&str>,
    preview: Option<Markup>,
) -> Result<Markup> {
    let mut conn = web.db.acquire().await?;
    let webhook = endpoints::get(&mut conn, id).await?;
    let title = webhook.description.as_ref().map_or("Webhook", |it| it.as_str());
    let content = html! {
        (ui::head_with(title, html! { code { (webhook.url) } }, html! {
            (action::link(&webhook_log::address(id), "All deliveries", Emphasis::Plain))
            @if webhook.state == WebhookState::Enabled { (action::button(&format!("{}/test", address(id)), "Send a test", Emphasis::Plain)) }
        }))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        @if let Some(preview) = preview { (preview) }
        (ui::live("webhook", html! {
            (attention(visit, &webhook))
            (facts(visit, &webhook))
            (ui::block("Latest deliveries", webhook_log::latest(&mut conn, visit, id).await?))
        }))
        (ui::block("Send again", replay_form(&webhook, &Fields::default())))
        (ui::block("Settings", settings(&webhook)))
    };
    drop(conn);
    shell::live_page(web, visit, title, content).await
}

/// What a person should know or decide.
fn attention(visit: &Visit, webhook: &WebhookView) -> Markup {
    let here = address(webhook.id);
    let enable = || action::button(&format!("{here}/enable"), "Enable", Emphasis::Primary);
    let lead = match (webhook.state, webhook.disabled_reason, webhook.failing_since) {
        (WebhookState::Enabled, _, None) => return html! {},
        (WebhookState::Enabled, _, Some(since)) => html! {
            "Nothing has arrived since " (time::ago(visit, since)) ". We try one event at a time; after three days it is disabled."
        },
        (WebhookState::Paused, ..) => html! { "It is paused. Events gather, and go out in order when you enable it." },
        (WebhookState::Disabled, Some(DisabledReason::Gone), _) => {
            html! { "The receiver answered that it is gone (410). Events gather until you enable it." }
        }
        (WebhookState::Disabled, ..) => {
            html! { "Nothing arrived for three days, so it is disabled. Events gather until you enable it." }
        }
    };
    html! {
        section.next.attention aria-label="What can be done" {
            p.lead { (lead) }
            @if webhook.state != WebhookState::Enabled { div.actions { (enable()) } }
        }
    }
}

fn facts(visit: &Visit, webhook: &WebhookView) -> Markup {
    let none = || html! { span.quiet { "none" } };
    ui::block(
        "About it",
        ui::facts(&[
            ("State", status::webhook(webhook)),
            ("Events", html! { (webhook.types.join(", ")) }),
            ("Waiting", html! { (ui::number(webhook.pending)) }),
            ("Last success", webhook.last_success_at.map_or_else(none, |at| time::both(visit, at))),
            ("Old secret good until", webhook.previous_until.map_or_else(none, |at| time::both(visit, at))),
            ("Registered", html! { (time::both(visit, webhook.created_at)) " by " (webhook.created_by.name) }),
            ("Id", ui::id(webhook.id)),
        ]),
    )
}

fn settings(webhook: &WebhookView) -> Markup {
    let here = address(webhook.id);
    let rate = webhook.max_per_second.map(|most| most.to_string()).unwrap_or_default();
    html! {
        form.stack method="post" action=(here) data-warn {
            (action::key())
            (action::hidden(&[("version", &webhook.version.to_string())]))
            (Field::text("url", "URL").kind("url").max(LONGEST_FIELD).value(&webhook.url).hint("Holds for the next attempt of everything that waits").show())
            (Field::text("types", "Events").max(2000).value(&webhook.types.join(", ")).hint("Hold for later events").show())
            (Field::text("description", "Description").optional().value(webhook.description.as_ref().map_or("", |it| it.as_str())).show())
            (Field::text("max_per_second", "At most per second").kind("number").optional().value(&rate).show())
            button.button.primary { "Save" }
        }
        div.actions {
            @if webhook.state == WebhookState::Enabled {
                (action::ask("Pause", Emphasis::Plain, html! {
                    p { "Events gather meanwhile. One that is on its way may still arrive." }
                    (action::button(&format!("{here}/pause"), "Pause", Emphasis::Primary))
                }))
            }
            (action::ask("New secret", Emphasis::Plain, html! {
                p { "For 24 hours both secrets sign, so that the receiver can change over." }
                (action::button(&format!("{here}/rotate"), "Make a new secret", Emphasis::Primary))
            }))
            (action::ask("Delete", Emphasis::Danger, html! {
                p { "What waits is dropped, and the log goes." }
                (action::button(&format!("{here}/delete"), "Delete", Emphasis::Danger))
            }))
        }
    }
}

async fn save(State(web): State<WebState>, InPath(id): InPath<WebhookId>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let fields = &once.fields;
        let url = fields.text("url").trim().to_owned();
        judge(&web, &url).await?;
        let rate = fields.given("max_per_second").map(|_| fields.whole("max_per_second")).transpose()?;
        let change = ChangeWebhook {
            url: Some(url),
            types: Some(types(fields)),
            description: Some(fields.optional("description")?),
            max_per_second: Some(rate),
        };
        let seen = fields.optional("version")?;
        endpoints::change(&mut once.tx, once.visit.principal()?, id, seen, &change).await
    };
    let done = done.await.map(|_| ());
    finish(&web, once, id, done, "changed").await
}

async fn pause(State(web): State<WebState>, InPath(id): InPath<WebhookId>, mut once: OnceForm) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    let done = endpoints::pause(&mut once.tx, &principal, id).await.map(|_| ());
    finish(&web, once, id, done, "webhook_paused").await
}

async fn enable(
    State(web): State<WebState>,
    InPath(id): InPath<WebhookId>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    match endpoints::enable(&mut once.tx, &principal, id).await {
        Ok((_, rings)) => {
            let left = finish(&web, once, id, Ok(()), "webhook_enabled").await?;
            web.doorbell.ring(rings);
            Ok(left)
        }
        Err(error) => finish(&web, once, id, Err(error), "").await,
    }
}

async fn test(State(web): State<WebState>, InPath(id): InPath<WebhookId>, mut once: OnceForm) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    let done = deliveries::test(&mut once.tx, &principal, id).await.map(|_| ());
    finish(&web, once, id, done, "webhook_tested").await
}

async fn rotate(
    State(web): State<WebState>,
    InPath(id): InPath<WebhookId>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    let done = async {
        let key = web.settings.webhooks.master_key()?;
        let rotated = endpoints::rotate(&mut once.tx, &principal, id, &RotateSecret { overlap_hours: None }).await?;
        Ok((endpoints::get(&mut once.tx, id).await?, key.secret(id, rotated.number).text()))
    };
    match done.await {
        Ok((webhook, secret)) => {
            let visit = once.visit.clone();
            once.leave(&and_say(&address(id), "changed")).await?;
            Ok(secret_page(&web, &visit, &webhook, &secret).await?.into_response())
        }
        Err(error) => finish(&web, once, id, Err(error), "").await,
    }
}

async fn delete(
    State(web): State<WebState>,
    InPath(id): InPath<WebhookId>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    match endpoints::delete(&mut once.tx, &principal, id, None).await {
        Ok(()) => once.leave(&and_say(HERE, "deleted")).await,
        Err(error) => finish(&web, once, id, Err(error), "").await,
    }
}

/// Back to the endpoint, with a word for what was done or why it was not.
async fn finish(web: &WebState, once: OnceForm, id: WebhookId, done: Result<()>, word: &str) -> PageResult<Response> {
    match done {
        Ok(()) => once.leave(&and_say(&address(id), word)).await,
        Err(error) => {
            let page = page(web, &once.visit, id, Some(&words(&error)), None).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

// ---- sending many again ---------------------------------------------------------------------

fn replay_form(webhook: &WebhookView, sent: &Fields) -> Markup {
    let only = [("failed", "Only what failed"), ("all", "Everything that fits, also what has arrived")];
    let only = only.map(|(value, words)| (value.to_owned(), words.to_owned()));
    html! {
        p { "Since a time, also from before it was registered. Receivers know events by their id, so a repetition does no harm." }
        (action::form(&format!("{}/replay", address(webhook.id)), "Show how many", Emphasis::Plain, html! {
            (Field::text("from", "Since").within("replay").kind("datetime-local").sent(sent).show())
            (Field::text("types", "Events").within("replay").optional().max(2000).hint("With commas; none: all that it gets").sent(sent).show())
            (field::select_within("replay", "only", "What", &only, sent.text("only")))
        }))
    }
}

/// The first time it shows how many there are, with a button that does it.
async fn send_again(
    State(web): State<WebState>,
    InPath(id): InPath<WebhookId>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    let sure = once.fields.given("sure").is_some();
    let done = async {
        let from = once.fields.given("from").and_then(|text| time::parse(text, once.visit.zone));
        let only = if once.fields.text("only") == "all" { ReplayOnly::All } else { ReplayOnly::Failed };
        let types = types(&once.fields);
        let asked = ReplayWebhook {
            after: None,
            from: Some(from.ok_or_else(|| Error::field("from", "missing_field", "say since when"))?),
            to: None,
            types: (!types.is_empty()).then_some(types),
            only: Some(only),
            dry_run: !sure,
        };
        replay::replay(&mut once.tx, &principal, id, &asked).await
    };
    match done.await {
        Ok((_, ring)) if sure => {
            let left = finish(&web, once, id, Ok(()), "started").await?;
            web.doorbell.ring(ring);
            Ok(left)
        }
        Ok((count, _)) => {
            let preview = preview(id, &once.fields, count.count);
            Ok(page(&web, &once.visit, id, None, Some(preview)).await?.into_response())
        }
        Err(error) => finish(&web, once, id, Err(error), "").await,
    }
}

fn preview(id: WebhookId, sent: &Fields, count: i64) -> Markup {
    let again = format!("{}/replay", address(id));
    let kept =
        [("from", sent.text("from")), ("types", sent.text("types")), ("only", sent.text("only")), ("sure", "yes")];
    html! {
        section.next.attention aria-label="Send again" {
            p.lead { (ui::plural(count, "event is", "events are")) " sent again. What waits already stays as it is." }
            div.actions {
                @if count > 0 { (action::button_with(&again, "Send them", Emphasis::Primary, &kept)) }
                (action::link(&address(id), "Do not", Emphasis::Plain))
            }
        }
    }
}
