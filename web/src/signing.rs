//! Signing in and out with a browser, the same for shop and console.

use axum::http::{HeaderValue, header};
use maud::{Markup, html};
use secrecy::SecretString;
use shared::error::{Error, Result};
use shared::identity::attempts;
use shared::identity::sessions::{self, LogIn};
use shared::principal::Surface;

use crate::cookies::{self, Channel};
use crate::ui::button::{self, Weight};
use crate::ui::form::{Field, field, short};
use crate::visit::Visit;

/// A password is sent in the clear over plain HTTP, and so is the cookie after it.
pub fn refuse_plain_http(visit: &Visit) -> Result<()> {
    match visit.channel {
        Channel::Secure | Channel::Loopback => Ok(()),
        Channel::Plain => Err(Error::invalid("tls_needed", "open this page with https:// to sign in")),
    }
}

/// The cookie of a new session.
pub async fn sign_in(visit: &Visit, surface: Surface, email: &str, password: &str) -> Result<HeaderValue> {
    refuse_plain_http(visit)?;
    let agent = visit.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let login = LogIn { email: email.to_owned(), password: SecretString::from(password) };
    let (state, source) = (&visit.state, &visit.source);
    let signing_in = state.identity.sign_in(&state.db, login, surface, agent, source);
    let token = state.tried(source).attempt(&attempts::account_of(email), signing_in).await?;
    let name = cookies::session_name(surface, visit.channel);
    Ok(cookies::set(&name, &token.written(), Some(surface.idle()), visit.channel))
}

/// Ends the session, and returns the cookie that removes the browser's.
pub async fn sign_out(visit: &Visit, surface: Surface) -> Result<HeaderValue> {
    if let Some(caller) = &visit.caller {
        let mut tx = visit.begin().await?;
        let session_id = sessions::log_out(&mut tx, caller).await?;
        tx.commit().await?;
        visit.state.identity.forget_session(session_id).await;
    }
    Ok(cookies::remove(&cookies::session_name(surface, visit.channel), visit.channel))
}

/// Where to go after signing in: an address of ours, never another site.
pub fn next(asked: Option<&str>) -> String {
    let ours = |path: &str| {
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        path.starts_with('/') && !path.starts_with("//") && plain
    };
    asked.filter(|path| ours(path)).unwrap_or("/").to_owned()
}

pub fn form(action: &str, email: &str, next: &str) -> Markup {
    let fields = [
        field(&Field {
            name: "email",
            label: "E-mail address",
            value: email,
            kind: "email",
            autocomplete: Some("username"),
            required: true,
            ..Field::default()
        }),
        field(&Field {
            name: "password",
            label: "Password",
            kind: "password",
            autocomplete: Some("current-password"),
            required: true,
            ..Field::default()
        }),
        html! { input type="hidden" name="next" value=(next); },
    ];
    short(action, &fields, button::submit(Weight::Main, "Sign in"))
}

pub fn sign_out_button(action: &str) -> Markup {
    button::form_of(Weight::Light, action, "Sign out")
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_way_on_stays_with_us() {
        for (asked, goes) in [
            (Some("/checkout"), "/checkout"),
            (Some("/orders?cursor=x"), "/orders?cursor=x"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/a\r\nset-cookie: x"), "/"),
            (Some(""), "/"),
            (None, "/"),
        ] {
            assert_eq!(next(asked), goes, "{asked:?}");
        }
    }
}
