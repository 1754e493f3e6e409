//! Signing in and out, registering, and accepting an invitation.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use maud::{Markup, html};
use secrecy::ExposeSecret;
use shared::error::{Error, Result};
use shared::identity::cookies::BrowserSession;
use shared::identity::invites::AcceptInvite;
use shared::identity::known_networks::Account;
use shared::identity::sessions;
use shared::identity::sign_in::{Client, LogIn};
use shared::identity::users::{self, Register};
use shared::values::password::NewPassword;

use crate::form::Fields;
use crate::once::{and_say, see_other};
use crate::page;
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, Rule, Site, Visitors};
use crate::ui::field::{self, Field};
use crate::visit::Visit;
use crate::{WebState, visit};

/// How a browser tells its cookie's name apart: `__Host-` makes it refuse one that another subdomain or plain HTTP has set.
pub fn cookie_name(site: Site, secure: bool) -> &'static str {
    match (site, secure) {
        (Site::Shop, true) => "__Host-millrace-shop",
        (Site::Console, true) => "__Host-millrace-console",
        (Site::Shop, false) => "millrace-shop",
        (Site::Console, false) => "millrace-console",
    }
}

/// The session cookie of a request, if it has one.
pub fn session_cookie(headers: &HeaderMap, site: Site, secure: bool) -> Option<secrecy::SecretString> {
    visit::cookie(headers, cookie_name(site, secure)).map(|value| value.to_owned().into())
}

pub fn routes() -> PageRoutes {
    let open = |site| Rule::read(site, Visitors::Anyone).before_totp();
    let enter = |site| Rule::write(site, Visitors::Anyone).password().before_totp();
    PageRoutes::default()
        .page("/signin", sign_in_page, open(Site::Shop))
        .form("/signin", sign_in, enter(Site::Shop))
        .page("/register", register_page, open(Site::Shop))
        .form("/register", register, enter(Site::Shop))
        .form("/signout", sign_out, enter(Site::Shop))
        .page("/console/signin", sign_in_page, open(Site::Console))
        .form("/console/signin", sign_in, enter(Site::Console))
        .form("/console/signout", sign_out, enter(Site::Console))
        .page("/console/confirm", confirm_page, Rule::read(Site::Console, Visitors::SignedIn).before_totp())
        .form("/console/confirm", confirm, Rule::write(Site::Console, Visitors::SignedIn).password().before_totp())
}

/// Links in invitations. They are there whichever site is served.
pub fn invitations() -> PageRoutes {
    let rule = Rule::read(Site::Shop, Visitors::Anyone).before_totp();
    PageRoutes::default().page("/invite/{token}", invite_page, rule).form(
        "/invite/{token}",
        accept_invite,
        rule.password(),
    )
}

async fn sign_in_page(visit: Visit, axum::extract::RawQuery(query): axum::extract::RawQuery) -> PageResult {
    let query = Fields::parse(query.unwrap_or_default().as_bytes())?;
    Ok(sign_in_form(&visit, &query, None, false))
}

fn sign_in_form(visit: &Visit, sent: &Fields, error: Option<&str>, needs_code: bool) -> Markup {
    let site = visit.site;
    let title = match site {
        Site::Shop => "Sign in",
        Site::Console => "Sign in to the console",
    };
    let next = safe_next(site, sent.text("next"));
    page::plain(
        site,
        title,
        html! {
            @if let Some(done) = &visit.done { (crate::ui::notice::done(done)) }
            (field::error(error))
            form.stack method="post" action=(site.sign_in()) {
                input type="hidden" name="next" value=(next);
                (Field::text("email", "E-mail").kind("email").autocomplete("username").max(254).sent(sent).show())
                (Field::text("password", "Password").kind("password").autocomplete("current-password").max(1000).show())
                @if needs_code {
                    (Field::text("code", "Code").autocomplete("one-time-code").max(40)
                        .hint("The code that your app shows, or a recovery code.").show())
                }
                button.button.primary { "Sign in" }
            }
            @if site == Site::Shop {
                p { "New here? " a href={ "/register?" (next_query(&next)) } { "Make an account" } }
            } @else {
                p.quiet { "For the people who run the shop. " @if visit.sites.shop { a href="/" { "To the shop" } } }
            }
        },
    )
}

async fn sign_in(State(web): State<WebState>, visit: Visit, headers: HeaderMap, sent: Fields) -> PageResult<Response> {
    let login = LogIn {
        email: sent.text("email").to_owned(),
        password: sent.secret("password"),
        code: sent.given("code").map(|code| code.to_owned().into()),
    };
    let account = Account::typed(&login.email);
    let client = client(&visit, &headers);
    let signing_in = web.identity.log_in_by_cookie(&web.db, login, &client, &visit.source);
    match web.attempts.run(&account, &visit.source, signing_in).await {
        Ok(session) => enter(&web, visit.site, &session, &safe_next(visit.site, sent.text("next"))),
        Err(error) => {
            let needs_code = matches!(error, Error::TotpRequired | Error::InvalidCode);
            let words = match &error {
                Error::Forbidden { .. } => "This account is for the shop. The console is for staff.".to_owned(),
                error => words(error),
            };
            let page = sign_in_form(&visit, &sent, Some(&words), needs_code);
            Ok(refused_in_place(error, page))
        }
    }
}

fn client(visit: &Visit, headers: &HeaderMap) -> Client {
    let user_agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    Client::new(visit.site.surface(), visit.source.address, user_agent)
}

/// Sets the cookie and goes on to where the visitor wanted to go.
fn enter(web: &WebState, site: Site, session: &BrowserSession, next: &str) -> PageResult<Response> {
    let seconds = (session.expires_at - chrono::Utc::now()).num_seconds();
    let mut response = see_other(next);
    response.headers_mut().append(header::SET_COOKIE, set_cookie(web, site, session.cookie.expose_secret(), seconds)?);
    Ok(response)
}

fn set_cookie(web: &WebState, site: Site, value: &str, seconds: i64) -> Result<HeaderValue> {
    let secure = if web.settings.secure { "; Secure" } else { "" };
    let name = cookie_name(site, web.settings.secure);
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let mut cookie = HeaderValue::from_str(&cookie).map_err(Error::internal)?;
    cookie.set_sensitive(true);
    Ok(cookie)
}

async fn sign_out(State(web): State<WebState>, visit: Visit) -> PageResult<Response> {
    if let Ok(principal) = visit.principal() {
        let mut tx = web.db.begin().await?;
        let session_id = sessions::log_out(&mut tx, principal).await?;
        tx.commit().await?;
        web.identity.forget_session(session_id).await;
    }
    let mut response = see_other(&and_say(visit.site.sign_in(), "signed-out"));
    response.headers_mut().append(header::SET_COOKIE, set_cookie(&web, visit.site, "", 0)?);
    Ok(response)
}

async fn register_page(visit: Visit, axum::extract::RawQuery(query): axum::extract::RawQuery) -> PageResult {
    let query = Fields::parse(query.unwrap_or_default().as_bytes())?;
    Ok(register_form(&visit, &query, None))
}

fn register_form(visit: &Visit, sent: &Fields, error: Option<&str>) -> Markup {
    let next = safe_next(Site::Shop, sent.text("next"));
    page::plain(
        visit.site,
        "Make an account",
        html! {
            (field::error(error))
            form.stack method="post" action="/register" {
                input type="hidden" name="next" value=(next);
                (Field::text("name", "Name").autocomplete("name").sent(sent).show())
                (Field::text("email", "E-mail").kind("email").autocomplete("username").max(254).sent(sent).show())
                (Field::text("password", "Password").kind("password").autocomplete("new-password").max(1000)
                    .hint("At least 8 characters, and none of the common ones.").show())
                button.button.primary { "Make an account" }
            }
            p { "You have one? " a href={ "/signin?" (next_query(&next)) } { "Sign in" } }
        },
    )
}

async fn register(State(web): State<WebState>, visit: Visit, headers: HeaderMap, sent: Fields) -> PageResult<Response> {
    match try_register(&web, &visit, &headers, &sent).await {
        Ok(session) => {
            enter(&web, Site::Shop, &session, &and_say(&safe_next(Site::Shop, sent.text("next")), "registered"))
        }
        Err(error) => {
            let page = register_form(&visit, &sent, Some(&words(&error)));
            Ok(refused_in_place(error, page))
        }
    }
}

async fn try_register(web: &WebState, visit: &Visit, headers: &HeaderMap, sent: &Fields) -> Result<BrowserSession> {
    let asked =
        Register { email: sent.value("email")?, password: new_password(sent, "password")?, name: sent.value("name")? };
    asked.check()?;
    web.attempts.new_account(&visit.source).await?;
    users::register(&web.db, asked, &visit.source).await?;
    let login = LogIn { email: sent.text("email").to_owned(), password: sent.secret("password"), code: None };
    web.identity.log_in_by_cookie(&web.db, login, &client(visit, headers), &visit.source).await
}

pub fn new_password(sent: &Fields, name: &str) -> Result<NewPassword> {
    let password = sent.secret(name).expose_secret().to_owned();
    NewPassword::try_from(password).map_err(|invalid| Error::InvalidFields(vec![invalid.at(name)]))
}

/// The page that asks for the password again before something dangerous.
async fn confirm_page(visit: Visit, axum::extract::RawQuery(query): axum::extract::RawQuery) -> PageResult {
    let query = Fields::parse(query.unwrap_or_default().as_bytes())?;
    Ok(confirm_form(&visit, &query, None))
}

fn confirm_form(visit: &Visit, sent: &Fields, error: Option<&str>) -> Markup {
    let next = safe_next(visit.site, sent.text("next"));
    page::plain(
        visit.site,
        "Your password again",
        html! {
            p { "What you were about to do needs your password again: you gave it some minutes ago." }
            (field::error(error))
            form.stack method="post" action="/console/confirm" {
                input type="hidden" name="next" value=(next);
                (Field::text("password", "Password").kind("password").autocomplete("current-password").max(1000).show())
                button.button.primary { "Confirm" }
            }
        },
    )
}

async fn confirm(State(web): State<WebState>, visit: Visit, sent: Fields) -> PageResult<Response> {
    let asked = shared::identity::own_password::ConfirmPassword { password: sent.secret("password") };
    let principal = visit.principal()?;
    let confirming = Box::pin(web.identity.confirm_password(&web.db, principal, asked));
    match web.attempts.of_person(principal, confirming).await {
        Ok(()) => Ok(see_other(&and_say(&safe_next(visit.site, sent.text("next")), "confirmed"))),
        Err(error) => {
            let page = confirm_form(&visit, &sent, Some(&words(&error)));
            Ok(refused_in_place(error, page))
        }
    }
}

async fn invite_page(visit: Visit, InPath(token): InPath<String>) -> Markup {
    invite_form(&visit, &token, None)
}

fn invite_form(visit: &Visit, token: &str, error: Option<&str>) -> Markup {
    page::plain(
        visit.site,
        "Choose your password",
        html! {
            p { "You were invited to Millrace. The link works once, within 24 hours." }
            (field::error(error))
            form.stack method="post" action={ "/invite/" (token) } {
                (Field::text("password", "Password").kind("password").autocomplete("new-password").max(1000)
                    .hint("At least 8 characters, and none of the common ones.").show())
                button.button.primary { "Set the password" }
            }
        },
    )
}

async fn accept_invite(
    State(web): State<WebState>,
    visit: Visit,
    InPath(token): InPath<String>,
    sent: Fields,
) -> PageResult<Response> {
    let accepted = async {
        let asked = AcceptInvite { token: token.clone().into(), password: new_password(&sent, "password")? };
        web.identity.accept_invite(&web.db, asked, &visit.source).await
    };
    match accepted.await {
        Ok(()) => Ok(see_other(&and_say(Site::Console.sign_in(), "password"))),
        Err(error) => {
            let words = match &error {
                Error::InvalidToken => "This link has expired or was used. Ask for another one.".to_owned(),
                error => words(error),
            };
            Ok(refused_in_place(error, invite_form(&visit, &token, Some(&words))))
        }
    }
}

/// Only an address of the same site: nobody can send people elsewhere with a link to our sign-in.
pub fn safe_next(site: Site, next: &str) -> String {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\n', '\r', '\t']);
    let stays = is_path && Site::of_path(next.split(['?', '#']).next().unwrap_or("")) == site;
    if stays { next.to_owned() } else { site.home().to_owned() }
}

fn next_query(next: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_the_sign_in_leads_nowhere_else() {
        for (site, next, goes) in [
            (Site::Shop, "/cart", "/cart"),
            (Site::Shop, "//evil.example", "/"),
            (Site::Shop, "https://evil.example", "/"),
            (Site::Shop, "/\\evil.example", "/"),
            (Site::Shop, "/console", "/"),
            (Site::Console, "/console/orders?status=paid", "/console/orders?status=paid"),
            (Site::Console, "/cart", "/console"),
            (Site::Console, "", "/console"),
        ] {
            assert_eq!(safe_next(site, next), goes, "{next}");
        }
    }
}
