//! Accounts, for administrators: inviting people, their roles, ending their sessions.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use shared::error::{Error, Result};
use shared::identity::invites::{self, InviteUser};
use shared::identity::users::{self, ChangeUser, UserView, Users};
use shared::identity::{second_factor, sessions};
use shared::page::Page;
use shared::principal::{Permission, Role};
use shared::values::UserId;

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
use crate::ui::list::{Row, column, filters, pager, table};
use crate::ui::status::{self, Tone};
use crate::ui::{self, notice, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let change = changes(Permission::UsersWrite);
    PageRoutes::default()
        .page("/console/users", list, reads(Permission::UsersWrite))
        .form("/console/users/invite", invite, change)
        .page("/console/users/{id}", show, reads(Permission::UsersWrite))
        .form("/console/users/{id}", save, change)
        .form("/console/users/{id}/sessions", end_sessions, change)
        .form("/console/users/{id}/totp", switch_off_totp, change)
}

const ROLES: [Role; 3] = [Role::Customer, Role::Staff, Role::Admin];

fn roles() -> Vec<(String, String)> {
    ROLES.iter().map(|role| (role.name().to_owned(), role.name().to_owned())).collect()
}

fn role(sent: &Fields) -> Result<Role> {
    let found = ROLES.into_iter().find(|role| role.name() == sent.text("role"));
    found.ok_or_else(|| Error::field("role", "invalid_value", "choose a role"))
}

async fn list(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    Ok(page(&web, &visit, &asked, None).await?)
}

async fn page(web: &WebState, visit: &Visit, asked: &Fields, problem: Option<&str>) -> Result<Markup> {
    let filter = filter(asked)?;
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let found = users::list_users(&mut *web.db.acquire().await?, &filter, &page).await?;
    let content = html! {
        (ui::head("Users", action::ask("Invite somebody", Emphasis::Primary, action::form("/console/users/invite", "Invite", Emphasis::Primary, html! {
            (Field::text("name", "Name").show())
            (Field::text("email", "E-mail").kind("email").max(254).show())
            (field::select("role", "Role", &roles(), "staff"))
        }))))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        (filters(visit, asked, filter_fields(asked)))
        (rows(visit, &found.data))
        (pager(visit, found.next_cursor.as_deref()))
    };
    shell::still_page(web, visit, "Users", content).await
}

fn filter(asked: &Fields) -> Result<Users> {
    Ok(Users {
        email: None,
        q: asked.optional("q")?,
        role: ROLES.into_iter().find(|role| role.name() == asked.text("role")),
        active: asked.given("active").map(|active| active == "true"),
    })
}

fn filter_fields(asked: &Fields) -> Markup {
    let any = || std::iter::once((String::new(), "Any".to_owned()));
    let active = [("true", "May sign in"), ("false", "Deactivated")];
    html! {
        (Field::text("q", "Name or e-mail").optional().max(100).sent(asked).show())
        (field::select_within("filter", "role", "Role", &any().chain(roles()).collect::<Vec<_>>(), asked.text("role")))
        (field::select("active", "State", &any().chain(active.map(|(value, words)| (value.to_owned(), words.to_owned()))).collect::<Vec<_>>(), asked.text("active")))
    }
}

fn rows(visit: &Visit, found: &[UserView]) -> Markup {
    let columns = [column("Name"), column("E-mail"), column("Role"), column("State"), column("Since")];
    let rows: Vec<Row> = found
        .iter()
        .map(|user| Row {
            link: Some(format!("/console/users/{}", user.id)),
            cells: vec![
                html! { (user.name.as_str()) },
                html! { (user.email.as_str()) },
                html! { (user.role.name()) },
                state(user),
                time::ago(visit, user.created_at),
            ],
        })
        .collect();
    table("Users", &columns, &rows)
}

fn state(user: &UserView) -> Markup {
    if user.active {
        status::badge(Tone::Good, Icon::Check, "May sign in")
    } else {
        status::badge(Tone::Over, Icon::Cross, "Deactivated")
    }
}

/// The link is shown once and stored nowhere, so this answer is a page and no redirect.
async fn invite(State(web): State<WebState>, headers: HeaderMap, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let asked = InviteUser {
            email: once.fields.value("email")?,
            name: once.fields.value("name")?,
            role: role(&once.fields)?,
        };
        invites::invite(&mut once.tx, once.visit.principal()?, &asked).await
    };
    match done.await {
        Ok((user, token)) => {
            let visit = once.visit.clone();
            let link = format!("{}/invite/{token}", base_url(&web, &headers));
            once.leave(&and_say("/console/users", "invited")).await?;
            Ok(shell::still_page(&web, &visit, "Invited", invited(&user, &link)).await?.into_response())
        }
        Err(Error::PasswordRequired) => Err(Error::PasswordRequired.into()),
        Err(error) => {
            let page = page(&web, &once.visit, &Fields::default(), Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

fn invited(user: &UserView, link: &str) -> Markup {
    html! {
        (ui::head("Invited", html! {}))
        p.lead { "Send this link to " (user.name.as_str()) ". It works once, within 24 hours, and is not shown again." }
        p { code { (link) } (ui::copy(link)) }
        p { a href="/console/users" { "Back to the users" } }
    }
}

fn base_url(web: &WebState, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if web.settings.secure { "https" } else { "http" };
    web.settings.public_url.clone().unwrap_or_else(|| format!("{scheme}://{host}"))
}

async fn show(State(web): State<WebState>, visit: Visit, InPath(id): InPath<UserId>) -> PageResult {
    Ok(one(&web, &visit, id, None).await?)
}

async fn one(web: &WebState, visit: &Visit, id: UserId, problem: Option<&str>) -> Result<Markup> {
    let user = users::get_user(&mut *web.db.acquire().await?, id).await?;
    let here = format!("/console/users/{id}");
    let version = user.version.to_string();
    let content = html! {
        (ui::head_with(user.name.as_str(), html! { (user.email.as_str()) " · " (state(&user)) }, html! {}))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        form.stack method="post" action=(here) {
            (action::key())
            (action::hidden(&[("version", &version)]))
            (field::select("role", "Role", &roles(), user.role.name()))
            (field::tick("active", "May sign in", user.active))
            button.button.primary { "Save" }
        }
        div.actions.spaced {
            (action::ask("End their sessions", Emphasis::Danger, html! {
                p { "Wherever they are signed in, they must sign in again." }
                (action::button(&format!("{here}/sessions"), "End their sessions", Emphasis::Danger))
            }))
            (action::ask("Switch their second factor off", Emphasis::Danger, html! {
                p { "For people who have lost their app and their recovery codes." }
                (action::button(&format!("{here}/totp"), "Switch it off", Emphasis::Danger))
            }))
        }
        (ui::block("About them", ui::facts(&[("Since", time::both(visit, user.created_at)), ("Id", ui::id(user.id))])))
    };
    shell::still_page(web, visit, user.name.as_str(), content).await
}

async fn save(State(web): State<WebState>, InPath(id): InPath<UserId>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let asked = ChangeUser { role: Some(role(&once.fields)?), active: Some(once.fields.is_on("active")) };
        let seen = once.fields.optional("version")?;
        users::change_user(&mut once.tx, once.visit.principal()?, id, asked, seen).await.map(|_| ())
    };
    let done = done.await;
    finish(&web, once, id, done).await
}

async fn end_sessions(
    State(web): State<WebState>,
    InPath(id): InPath<UserId>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    let done = sessions::end_those_of(&mut once.tx, &principal, id).await;
    finish(&web, once, id, done).await
}

async fn switch_off_totp(
    State(web): State<WebState>,
    InPath(id): InPath<UserId>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    let done = second_factor::switch_off(&mut once.tx, &principal, id).await;
    finish(&web, once, id, done).await
}

async fn finish(web: &WebState, once: OnceForm, id: UserId, done: Result<()>) -> PageResult<Response> {
    match done {
        Ok(()) => {
            let left = once.leave(&and_say(&format!("/console/users/{id}"), "changed")).await?;
            web.identity.forget_user(id);
            Ok(left)
        }
        Err(Error::PasswordRequired) => Err(Error::PasswordRequired.into()),
        Err(error) => {
            let page = one(web, &once.visit, id, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}
