//! The own account of somebody who works here: password, second factor, sessions, how pages look.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use shared::error::{Error, Result};
use shared::identity::own_password::ChangePassword;
use shared::identity::second_factor::{self, ConfirmTotp, RecoveryCodes, TotpSetup};
use shared::identity::{sessions, users};
use shared::ops::views::{self, NewView, SavedView, ViewPath};
use shared::page::Page;
use shared::principal::Permission;
use shared::values::SessionId;

use super::shell;
use crate::WebState;
use crate::entrance::new_password;
use crate::form::Fields;
use crate::once::{OnceForm, and_say, see_other};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, Rule, Site, Visitors, changes};
use crate::ui::account::{password_form, sessions_table};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::{self, Field};
use crate::ui::{self, notice};
use crate::visit::{THEME_COOKIE, Theme, Visit};

pub fn routes() -> PageRoutes {
    let read = Rule::read(Site::Console, Visitors::SignedIn).before_totp();
    let write = Rule::write(Site::Console, Visitors::SignedIn).before_totp();
    PageRoutes::default()
        .page("/console/me", show, read)
        .form("/console/me/password", change_password, write.password())
        .form("/console/me/sessions/{id}/end", end_session, write)
        .form("/console/me/totp", set_up_totp, write)
        .form("/console/me/totp/confirm", confirm_totp, write.password())
        .form("/console/me/totp/off", switch_off_totp, write)
        .form("/console/me/theme", choose_theme, write)
        .form("/console/views", save_view, changes(Permission::OpsRead))
        .form("/console/views/{id}/delete", delete_view, changes(Permission::OpsRead))
}

async fn show(State(web): State<WebState>, visit: Visit) -> PageResult {
    Ok(page(&web, &visit, None).await?)
}

async fn page(web: &WebState, visit: &Visit, problem: Option<&str>) -> Result<Markup> {
    let principal = visit.principal()?;
    let mut conn = web.db.acquire().await?;
    let user = users::get_user(&mut conn, principal.require_person()?.user_id).await?;
    let totp = second_factor::status(&mut conn, principal).await?;
    let views = views::list(&mut conn, principal).await?;
    drop(conn);
    let sessions = web.identity.list_sessions(&web.db, principal, &Page::parse(None, None, "")?).await?;
    let content = html! {
        (ui::head_with(user.name.as_str(), html! { (user.email.as_str()) " · " (user.role.name()) }, html! {}))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        div.grid {
            (ui::block("Password", password_form("/console/me/password", user.email.as_str(), None)))
            div {
                (ui::block("Second factor", html! {
                    @if totp.on {
                        p { "It is on. " (totp.recovery_codes_left) " recovery codes are left." }
                        (action::ask("Switch it off", Emphasis::Danger, action::button("/console/me/totp/off", "Switch it off", Emphasis::Danger)))
                    } @else {
                        p { "An app on your phone shows a code, and signing in asks for it." }
                        (action::button("/console/me/totp", "Set it up", Emphasis::Primary))
                    }
                }))
                (ui::block("How pages look", theme_form(visit)))
            }
        }
        (ui::block("Saved views", views_list(&views)))
        (ui::block("Where you are signed in", sessions_table(visit, "/console/me/sessions", &sessions.data)))
    };
    if principal.needs_totp() {
        return Ok(crate::page::plain(Site::Console, "Your account", content));
    }
    shell::still_page(web, visit, "Your account", content).await
}

fn views_list(views: &[SavedView]) -> Markup {
    html! {
        @if views.is_empty() { p.quiet { "Filter a list, and save it under a name." } }
        ul.views { @for view in views { li {
            a href=(view.path) { (view.name) }
            (action::button(&format!("/console/views/{}/delete", view.id), "Delete", Emphasis::Plain))
        } } }
    }
}

async fn save_view(mut once: OnceForm) -> PageResult<Response> {
    let here: ViewPath = once.fields.value("path")?;
    let back = once.fields.text("path").to_owned();
    let new = NewView { name: once.fields.value("name")?, path: here };
    views::save(&mut once.tx, once.visit.principal()?, &new).await?;
    once.leave(&and_say(&back, "saved")).await
}

async fn delete_view(InPath(id): InPath<uuid::Uuid>, mut once: OnceForm) -> PageResult<Response> {
    views::delete(&mut once.tx, once.visit.principal()?, id).await?;
    once.leave(&and_say("/console/me", "deleted")).await
}

fn theme_form(visit: &Visit) -> Markup {
    let choices = [Theme::System, Theme::Light, Theme::Dark].map(|theme| {
        let words = match theme {
            Theme::System => "As the system",
            Theme::Light => "Light",
            Theme::Dark => "Dark",
        };
        (theme.name().to_owned(), words.to_owned())
    });
    html! {
        form.stack method="post" action="/console/me/theme" {
            (field::select("theme", "Theme", &choices, visit.theme.name()))
            button.button { "Use it" }
        }
        div #keys-switch {}
        p.hint { "Press " kbd { "?" } " for the list of keys. Times are in " (visit.zone.name()) ", as your browser says." }
    }
}

async fn choose_theme(State(web): State<WebState>, sent: Fields) -> PageResult<Response> {
    let secure = if web.settings.secure { "; Secure" } else { "" };
    let theme = Theme::parse(sent.text("theme")).name();
    let cookie = format!("{THEME_COOKIE}={theme}; Path=/; SameSite=Lax; Max-Age=31536000{secure}");
    let mut response = see_other(&and_say("/console/me", "changed"));
    response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_str(&cookie).map_err(Error::internal)?);
    Ok(response)
}

async fn change_password(State(web): State<WebState>, visit: Visit, sent: Fields) -> PageResult<Response> {
    let principal = visit.principal()?;
    let changed = async {
        let asked = ChangePassword {
            current_password: sent.secret("current_password"),
            new_password: new_password(&sent, "new_password")?,
        };
        let change = Box::pin(web.identity.change_password(&web.db, principal, asked));
        web.attempts.of_person(principal, change).await
    };
    match changed.await {
        Ok(()) => Ok(see_other(&and_say("/console/me", "password"))),
        Err(error) => again(&web, &visit, error).await,
    }
}

async fn end_session(State(web): State<WebState>, visit: Visit, InPath(id): InPath<SessionId>) -> PageResult<Response> {
    let mut tx = web.db.begin().await?;
    sessions::end_own(&mut tx, visit.principal()?, id).await?;
    tx.commit().await?;
    web.identity.forget_session(id).await;
    Ok(see_other(&and_say("/console/me", "ended")))
}

/// The secret is shown once, so the answer is a page.
async fn set_up_totp(State(web): State<WebState>, visit: Visit) -> PageResult<Response> {
    let mut tx = web.db.begin().await?;
    let setup = second_factor::set_up(&mut tx, visit.principal()?).await?;
    tx.commit().await?;
    Ok(crate::page::plain(Site::Console, "Your second factor", totp_form(&setup)).into_response())
}

fn totp_form(setup: &TotpSetup) -> Markup {
    html! {
        p { "Enter this key in your authenticator app, then the code that the app shows." }
        p { code { (setup.secret) } (ui::copy(&setup.secret)) }
        p { a href=(setup.otpauth_uri) { "Open it in an app on this device" } }
        form.stack method="post" action="/console/me/totp/confirm" {
            (Field::text("code", "Code").autocomplete("one-time-code").max(20).show())
            button.button.primary { "Switch it on" }
        }
    }
}

async fn confirm_totp(State(web): State<WebState>, visit: Visit, sent: Fields) -> PageResult<Response> {
    let principal = visit.principal()?;
    let confirmed = Box::pin(async {
        let mut tx = web.db.begin().await?;
        let codes = second_factor::confirm(&mut tx, principal, &ConfirmTotp { code: sent.secret("code") }).await?;
        tx.commit().await?;
        Ok(codes)
    });
    match web.attempts.of_person(principal, confirmed).await {
        Ok(codes) => {
            web.identity.forget_user(principal.require_person()?.user_id);
            Ok(crate::page::plain(Site::Console, "Your recovery codes", recovery(&codes)).into_response())
        }
        Err(error) => again(&web, &visit, error).await,
    }
}

fn recovery(codes: &RecoveryCodes) -> Markup {
    html! {
        p { "The second factor is on. Keep these codes where you keep your papers: each works once, when your phone is lost. They are not shown again." }
        ul { @for code in &codes.recovery_codes { li { code { (code) } } } }
        p { a.button.primary href="/console" { "Go to the overview" } }
    }
}

async fn switch_off_totp(State(web): State<WebState>, visit: Visit) -> PageResult<Response> {
    let principal = visit.principal()?;
    let user_id = principal.require_person()?.user_id;
    let mut tx = web.db.begin().await?;
    second_factor::switch_off(&mut tx, principal, user_id).await?;
    tx.commit().await?;
    web.identity.forget_user(user_id);
    Ok(see_other(&and_say("/console/me", "changed")))
}

async fn again(web: &WebState, visit: &Visit, error: Error) -> PageResult<Response> {
    let page = page(web, visit, Some(&words(&error))).await?;
    Ok(refused_in_place(error, page))
}
