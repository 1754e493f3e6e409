//! The buyer's account: password and sessions.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use shared::error::Result;
use shared::identity::own_password::ChangePassword;
use shared::identity::sessions;
use shared::identity::users;
use shared::page::Page;
use shared::values::SessionId;

use super::shell::show;
use crate::WebState;
use crate::entrance::new_password;
use crate::form::Fields;
use crate::once::{and_say, see_other};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, Rule, Site, Visitors};
use crate::ui;
use crate::ui::account::{password_form, sessions_table};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let change = Rule::write(Site::Shop, Visitors::SignedIn);
    PageRoutes::default()
        .page("/account", account, Rule::read(Site::Shop, Visitors::SignedIn))
        .form("/account/password", change_password, change.password())
        .form("/account/sessions/{id}/end", end_session, change)
}

async fn account(State(web): State<WebState>, visit: Visit, headers: HeaderMap) -> PageResult {
    Ok(page(&web, &visit, &headers, None).await?)
}

async fn page(web: &WebState, visit: &Visit, headers: &HeaderMap, problem: Option<&str>) -> Result<Markup> {
    let principal = visit.principal()?;
    let user = users::get_user(&mut *web.db.acquire().await?, principal.require_person()?.user_id).await?;
    let sessions = web.identity.list_sessions(&web.db, principal, &Page::parse(None, None, "")?).await?;
    let content = html! {
        h1 { "Your account" }
        (ui::facts(&[("Name", html! { (user.name.as_str()) }), ("E-mail", html! { (user.email.as_str()) })]))
        (ui::block("Password", password_form("/account/password", user.email.as_str(), problem)))
        (ui::block("Where you are signed in", sessions_table(visit, "/account/sessions", &sessions.data)))
        form method="post" action="/signout" { button.button { "Sign out" } }
    };
    Ok(show(visit, headers, "Your account", &content))
}

async fn change_password(
    State(web): State<WebState>,
    visit: Visit,
    headers: HeaderMap,
    sent: Fields,
) -> PageResult<Response> {
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
        Ok(()) => Ok(see_other(&and_say("/account", "password"))),
        Err(error) => {
            let page = page(&web, &visit, &headers, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

async fn end_session(State(web): State<WebState>, visit: Visit, InPath(id): InPath<SessionId>) -> PageResult<Response> {
    let mut tx = web.db.begin().await?;
    sessions::end_own(&mut tx, visit.principal()?, id).await?;
    tx.commit().await?;
    web.identity.forget_session(id).await;
    Ok(see_other(&and_say("/account", "ended")))
}
