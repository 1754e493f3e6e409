//! Service accounts and their API keys, for administrators. A new key is shown once.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use secrecy::ExposeSecret;
use shared::error::{Error, Result};
use shared::identity::api_keys::{self, ApiKeyFilter, ApiKeyView, KeyState, MadeKey, NewApiKey, RotateApiKey};
use shared::identity::service_accounts::{self, ChangeServiceAccount, NewServiceAccount, ServiceAccountView};
use shared::page::Page;
use shared::principal::Permission;
use shared::scope::Scope;
use shared::values::whole_number::WholeNumber;
use shared::values::{ApiKeyId, UserId};

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::{self, Field};
use crate::ui::icon::Icon;
use crate::ui::list::{Row, column, pager, table};
use crate::ui::status::{self, Tone};
use crate::ui::{self, notice, time};
use crate::visit::Visit;

const HERE: &str = "/console/service-accounts";

pub fn routes() -> PageRoutes {
    let (read, change) = (reads(Permission::UsersWrite), changes(Permission::UsersWrite));
    PageRoutes::default()
        .page(HERE, list, read)
        .form(HERE, create, change)
        .page("/console/service-accounts/{id}", show, read)
        .form("/console/service-accounts/{id}", save, change)
        .form("/console/service-accounts/{id}/keys", create_key, change)
        .form("/console/api-keys/{id}/rotate", rotate, change)
        .form("/console/api-keys/{id}/revoke", revoke, change)
}

// ---- the list --------------------------------------------------------------------------------

async fn list(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    Ok(page(&web, &visit, &asked, None).await?)
}

async fn page(web: &WebState, visit: &Visit, asked: &Fields, problem: Option<&str>) -> Result<Markup> {
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let found = service_accounts::list(&mut *web.db.acquire().await?, &page).await?;
    let make = action::ask(
        "Add a service account",
        Emphasis::Primary,
        action::form(
            HERE,
            "Add",
            Emphasis::Primary,
            html! {
                (Field::text("name", "Name").hint("Shown wherever it does something.").show())
                (Field::text("description", "What it is for").optional().max(500).show())
            },
        ),
    );
    let content = html! {
        (ui::head_with("Service accounts", html! { "What programs act as. They sign in with API keys." }, make))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        @if found.data.is_empty() {
            (ui::empty("No service accounts", html! { "Add one for each program that uses the API, and give it a key." }))
        } @else {
            (rows(visit, &found.data))
        }
        (pager(visit, found.next_cursor.as_deref()))
    };
    shell::still_page(web, visit, "Service accounts", content).await
}

fn rows(visit: &Visit, found: &[ServiceAccountView]) -> Markup {
    let columns = [column("Name"), column("What it is for"), column("State"), column("Since")];
    let rows: Vec<Row> = found
        .iter()
        .map(|account| Row {
            link: Some(format!("{HERE}/{}", account.id)),
            cells: vec![
                html! { (account.name.as_str()) },
                html! { (account.description) },
                state(account),
                time::ago(visit, account.created_at),
            ],
        })
        .collect();
    table("Service accounts", &columns, &rows)
}

fn state(account: &ServiceAccountView) -> Markup {
    if account.active {
        status::badge(Tone::Good, Icon::Check, "Active")
    } else {
        status::badge(Tone::Over, Icon::Cross, "Deactivated")
    }
}

async fn create(State(web): State<WebState>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let fields = &once.fields;
        let asked = NewServiceAccount { name: fields.value("name")?, description: fields.optional("description")? };
        service_accounts::create(&mut once.tx, once.visit.principal()?, &asked).await
    };
    match done.await {
        Ok(account) => once.leave(&and_say(&format!("{HERE}/{}", account.id), "made")).await,
        Err(error) => {
            let page = page(&web, &once.visit, &Fields::default(), Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

// ---- one account -----------------------------------------------------------------------------

async fn show(
    State(web): State<WebState>,
    visit: Visit,
    InPath(id): InPath<UserId>,
    RawQuery(raw): RawQuery,
) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    Ok(one(&web, &visit, id, &asked, None).await?)
}

async fn one(web: &WebState, visit: &Visit, id: UserId, asked: &Fields, problem: Option<&str>) -> Result<Markup> {
    let mut conn = web.db.acquire().await?;
    let account = service_accounts::get(&mut conn, id).await?;
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let filter = ApiKeyFilter { service_account_id: Some(id), state: None };
    let keys = api_keys::list(&mut conn, &filter, &page).await?;
    drop(conn);
    let here = format!("{HERE}/{id}");
    let content = html! {
        (ui::head_with(account.name.as_str(), html! { (account.description) " " (state(&account)) }, html! {}))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        (ui::block("Keys", html! {
            @if keys.data.is_empty() {
                p.quiet { "It has no key, so it can do nothing." }
            } @else {
                (key_rows(visit, &keys.data))
                (pager(visit, keys.next_cursor.as_deref()))
            }
        }))
        @if account.active { (ui::block("Make a key", key_form(&here))) }
        (ui::block("The account", account_form(&here, &account)))
        (ui::block("About it", ui::facts(&[("Since", time::both(visit, account.created_at)), ("Id", ui::id(account.id))])))
    };
    shell::still_page(web, visit, account.name.as_str(), content).await
}

fn account_form(here: &str, account: &ServiceAccountView) -> Markup {
    let version = account.version.to_string();
    html! {
        form.stack method="post" action=(here) {
            (action::key())
            (action::hidden(&[("version", &version)]))
            (Field::text("name", "Name").value(account.name.as_str()).show())
            (Field::text("description", "What it is for").value(&account.description).optional().max(500).show())
            (field::tick("active", "Active", account.active))
            p.hint { "Deactivating it revokes all its keys for good." }
            button.button { "Save" }
        }
    }
}

fn key_form(here: &str) -> Markup {
    action::form(
        &format!("{here}/keys"),
        "Make the key",
        Emphasis::Primary,
        html! {
            (Field::text("name", "Name").within("key").hint("Where it is used, such as \"production\".").show())
            fieldset {
                legend { "Scopes" }
                @for scope in Scope::ALL { (field::tick(scope.name(), scope.name(), false)) }
            }
            (Field::text("expires_in_days", "Days until it expires").kind("number").optional().hint("1 to 365; 90 if empty.").show())
            (field::area("allowed_ips", "Addresses and networks, one a line; none: any", "", 2000))
            (Field::text("limit_per_minute", "Requests a minute").kind("number").optional().hint("Empty: the usual limits.").show())
        },
    )
}

fn key_rows(visit: &Visit, keys: &[ApiKeyView]) -> Markup {
    let columns =
        [column("Key"), column("Scopes"), column("State"), column("Expires"), column("Last used"), column("")];
    let rows: Vec<Row> = keys
        .iter()
        .map(|key| Row {
            link: None,
            cells: vec![
                html! { (key.name) br; code { (key.prefix) "…" } },
                html! { (key.scopes.join(", ")) },
                key_state(key.state),
                time::both(visit, key.expires_at),
                html! {
                    @if let Some(at) = key.last_used_at {
                        (time::ago(visit, at))
                        @if let Some(address) = &key.last_used_ip { br; (address) }
                    } @else { span.quiet { "never" } }
                },
                html! { div.actions { (key_actions(key)) } },
            ],
        })
        .collect();
    table("Keys", &columns, &rows)
}

fn key_actions(key: &ApiKeyView) -> Markup {
    let path = format!("/console/api-keys/{}", key.id);
    html! {
        @if key.state == KeyState::Active {
            (action::ask("Rotate", Emphasis::Plain, action::form(&format!("{path}/rotate"), "Make the new key", Emphasis::Primary, html! {
                (Field::text("overlap_hours", "Hours for which the old one still works").within(&key.prefix).kind("number").optional()
                    .hint("0 to 168; 24 if empty.").show())
            })))
        }
        @if matches!(key.state, KeyState::Active | KeyState::Replaced) {
            (action::ask("Revoke", Emphasis::Danger, html! {
                p { "Within a minute nobody can use it any more. It cannot be brought back." }
                (action::button(&format!("{path}/revoke"), "Revoke it", Emphasis::Danger))
            }))
        }
    }
}

fn key_state(state: KeyState) -> Markup {
    match state {
        KeyState::Active => status::badge(Tone::Good, Icon::Check, "Active"),
        KeyState::Replaced => status::badge(Tone::Waiting, Icon::Clock, "Replaced"),
        KeyState::Expired => status::badge(Tone::Over, Icon::Cross, "Expired"),
        KeyState::Revoked => status::badge(Tone::Over, Icon::Cross, "Revoked"),
    }
}

async fn save(State(web): State<WebState>, InPath(id): InPath<UserId>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let fields = &once.fields;
        let asked = ChangeServiceAccount {
            name: Some(fields.value("name")?),
            description: Some(fields.text("description").parse().map_err(|why| in_field("description", why))?),
            active: Some(fields.is_on("active")),
        };
        let seen = fields.optional("version")?;
        service_accounts::change(&mut once.tx, once.visit.principal()?, id, &asked, seen).await
    };
    match done.await {
        Ok(_) => {
            let left = once.leave(&and_say(&format!("{HERE}/{id}"), "changed")).await?;
            web.identity.api_keys.forget_account(id);
            Ok(left)
        }
        Err(error) => refuse(&web, &once.visit, id, error).await,
    }
}

async fn refuse(web: &WebState, visit: &Visit, id: UserId, error: Error) -> PageResult<Response> {
    let page = one(web, visit, id, &Fields::default(), Some(&words(&error))).await?;
    Ok(refused_in_place(error, page))
}

fn in_field(field: &str, why: shared::invalid::Invalid) -> Error {
    Error::InvalidFields(vec![why.at(field)])
}

// ---- keys ------------------------------------------------------------------------------------

async fn create_key(
    State(web): State<WebState>,
    InPath(id): InPath<UserId>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let asked = new_key(&once.fields)?;
        api_keys::create(&mut once.tx, once.visit.principal()?, id, &asked).await
    };
    match done.await {
        Ok(made) => show_once(&web, once, made).await,
        Err(error) => refuse(&web, &once.visit, id, error).await,
    }
}

fn new_key(fields: &Fields) -> Result<NewApiKey> {
    let addresses = fields.text("allowed_ips").split([',', '\n']).map(str::trim).filter(|text| !text.is_empty());
    let addresses = addresses.map(|text| text.to_owned().try_into().map_err(|why| in_field("allowed_ips", why)));
    Ok(NewApiKey {
        name: fields.value("name")?,
        scopes: Scope::ALL.iter().copied().filter(|scope| fields.is_on(scope.name())).collect(),
        expires_in_days: fields.optional("expires_in_days")?.map(WholeNumber),
        expires_at: None,
        allowed_ips: Some(addresses.collect::<Result<_>>()?),
        limit_per_minute: fields.optional("limit_per_minute")?.map(WholeNumber),
    })
}

async fn rotate(State(web): State<WebState>, InPath(id): InPath<ApiKeyId>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let asked = RotateApiKey { overlap_hours: once.fields.optional("overlap_hours")?.map(WholeNumber) };
        api_keys::rotate(&mut once.tx, once.visit.principal()?, id, &asked).await
    };
    match done.await {
        Ok((made, old)) => {
            let shown = show_once(&web, once, made).await?;
            web.identity.api_keys.forget_key(&old).await;
            Ok(shown)
        }
        Err(error) => refuse_key(&web, once, id, error).await,
    }
}

/// The key is stored nowhere, so this answer is a page and no redirect. Sent again, the form leads to the account.
async fn show_once(web: &WebState, once: OnceForm, made: MadeKey) -> PageResult<Response> {
    let visit = once.visit.clone();
    let account = format!("{HERE}/{}", made.view.service_account_id);
    once.leave(&and_say(&account, "made")).await?;
    let key = made.text.expose_secret();
    let content = html! {
        (ui::head("The new key", html! {}))
        p.lead { "Copy it now. It is stored nowhere and not shown again." }
        p { code { (key) } " " (ui::copy(key)) }
        p { "It expires " (time::both(&visit, made.view.expires_at)) ", and it opens " (made.view.scopes.join(", ")) "." }
        p { a href=(account) { "Back to the service account" } }
    };
    Ok(shell::still_page(web, &visit, "The new key", content).await?.into_response())
}

async fn revoke(State(web): State<WebState>, InPath(id): InPath<ApiKeyId>, mut once: OnceForm) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    match api_keys::revoke(&mut once.tx, &principal, id, None).await {
        Ok(prefix) => {
            let account = api_keys::get(&mut once.tx, id).await?.service_account_id;
            let left = once.leave(&and_say(&format!("{HERE}/{account}"), "changed")).await?;
            web.identity.api_keys.forget_key(&prefix).await;
            Ok(left)
        }
        Err(error) => refuse_key(&web, once, id, error).await,
    }
}

async fn refuse_key(web: &WebState, once: OnceForm, id: ApiKeyId, error: Error) -> PageResult<Response> {
    let account = api_keys::get(&mut *web.db.acquire().await?, id).await?.service_account_id;
    refuse(web, &once.visit, account, error).await
}
