//! Signing in and out, registering, and the page of one's own account.

use axum::http::header;
use maud::{Markup, html};
use secrecy::SecretString;
use shared::error::{Error, Result};
use shared::identity::sessions::ChangePassword;
use shared::identity::users::{self, Register, UserView};
use shared::invalid::FieldError;
use shared::principal::Surface;

use super::frame::frame;
use crate::answer::{DoneNotice, PageResult};
use crate::form::Form;
use crate::page::shop::{ShopFrame, page};
use crate::signing::{self, next};
use crate::ui::banner::Flash;
use crate::ui::button::{self, Weight};
use crate::ui::form::{self, Field};
use crate::ui::{Tone, facts, layout, words};
use crate::visit::Visit;

pub async fn sign_in_page(visit: Visit) -> PageResult {
    let next = next(visit.query("next").as_deref());
    if visit.caller.is_some() {
        return Ok(visit.see(&next));
    }
    Ok(visit.page(render_sign_in(&frame(&visit).await?, "", &next)))
}

pub async fn sign_in(visit: Visit, form: Form) -> PageResult {
    let next = next(Some(form.get("next")));
    match signing::sign_in(&visit, Surface::Shop, form.get("email"), form.exact("password")).await {
        Ok(cookie) => {
            let mut response = visit.see(&next);
            response.headers_mut().append(header::SET_COOKIE, cookie);
            Ok(response)
        }
        Err(error) => {
            let mut frame = frame(&visit).await?;
            frame.flash = Some(Flash { tone: Tone::Bad, text: words::first_upper(&error.to_string()) });
            Ok(visit.refused(error, render_sign_in(&frame, form.get("email"), &next)))
        }
    }
}

pub async fn sign_out(visit: Visit) -> PageResult {
    let mut response = visit.see("/");
    response.headers_mut().append(header::SET_COOKIE, signing::sign_out(&visit, Surface::Shop).await?);
    Ok(response)
}

pub async fn register_page(visit: Visit) -> PageResult {
    let next = next(visit.query("next").as_deref());
    Ok(visit.page(render_register(&frame(&visit).await?, ["", ""], &next, &[])))
}

pub async fn register(visit: Visit, form: Form) -> PageResult {
    let next = next(Some(form.get("next")));
    match try_to_register(&visit, &form).await {
        Ok(()) => {
            let (email, password) = (form.get("email"), form.exact("password"));
            let cookie = signing::sign_in(&visit, Surface::Shop, email, password).await?;
            let mut response = visit.see(&next);
            response.headers_mut().append(header::SET_COOKIE, cookie);
            Ok(response)
        }
        Err(error) => {
            let errors = match &error {
                Error::InvalidFields(fields) => fields.clone(),
                Error::EmailTaken => vec![at("email", "There is an account with this address. Sign in instead.")],
                _ => Vec::new(),
            };
            let mut frame = frame(&visit).await?;
            if errors.is_empty() {
                frame.flash = Some(Flash { tone: Tone::Bad, text: words::first_upper(&error.to_string()) });
            }
            let typed = [form.get("name"), form.get("email")];
            Ok(visit.refused(error, render_register(&frame, typed, &next, &errors)))
        }
    }
}

fn at(field: &str, message: &str) -> FieldError {
    FieldError { field: field.to_owned(), code: "refused".to_owned(), message: message.to_owned() }
}

async fn try_to_register(visit: &Visit, form: &Form) -> Result<()> {
    signing::refuse_plain_http(visit)?;
    let asked = match (form.read("email"), form.read("password"), form.read("name")) {
        (Ok(email), Ok(password), Ok(name)) => Register { email, password, name },
        (email, password, name) => {
            let errors = [email.err(), password.err(), name.err()];
            return Err(Error::InvalidFields(errors.into_iter().flatten().collect()));
        }
    };
    users::register(&visit.state.db, asked, &visit.source).await?;
    Ok(())
}

pub async fn account(visit: Visit) -> PageResult {
    let user = own(&visit).await?;
    Ok(visit.page(render(&frame(&visit).await?, &user, None)))
}

async fn own(visit: &Visit) -> Result<UserView> {
    users::get_user(&mut *visit.connection().await?, visit.person()?.user_id).await
}

pub async fn change_password(visit: Visit, form: Form) -> PageResult {
    match try_to_change(&visit, &form).await {
        Ok(()) => Ok(visit.see_done("/account", DoneNotice::PasswordChanged)),
        Err(error) => {
            let at = match &error {
                Error::InvalidCredentials => at("current", "This is not your password."),
                Error::InvalidFields(fields) if !fields.is_empty() => fields[0].clone(),
                other => at("new", &words::first_upper(&other.to_string())),
            };
            let page = render(&frame(&visit).await?, &own(&visit).await?, Some(&at));
            Ok(visit.refused(error, page))
        }
    }
}

async fn try_to_change(visit: &Visit, form: &Form) -> Result<()> {
    let new_password = form.read("new").map_err(|error| Error::InvalidFields(vec![error]))?;
    let change = ChangePassword { current_password: SecretString::from(form.exact("current")), new_password };
    let (caller, user_id) = (visit.caller()?, visit.person()?.user_id);
    let changed = visit.state.identity.change_password(&visit.state.db, caller, change);
    visit.state.tried(&visit.source).attempt(user_id.0.as_bytes(), changed).await
}

fn render_sign_in(frame: &ShopFrame, email: &str, next: &str) -> Markup {
    let register = format!("/register?next={}", words::segment(next));
    let content = html! {
        (layout::narrow("Sign in", html! {
            (signing::form("/signin", email, next))
            p { "New here? " (layout::link(&register, "Make an account")) }
        }))
    };
    page(frame, "Sign in", content)
}

fn render_register(frame: &ShopFrame, [name, email]: [&str; 2], next: &str, errors: &[FieldError]) -> Markup {
    let error_of = |field: &str| errors.iter().find(|error| error.field == field).map(|error| error.message.as_str());
    let fields = [
        form::field(&Field {
            name: "name",
            label: "Name",
            value: name,
            autocomplete: Some("name"),
            required: true,
            error: error_of("name"),
            ..Field::default()
        }),
        form::field(&Field {
            name: "email",
            label: "E-mail address",
            value: email,
            kind: "email",
            autocomplete: Some("username"),
            required: true,
            error: error_of("email"),
            ..Field::default()
        }),
        form::field(&Field {
            name: "password",
            label: "Password",
            kind: "password",
            autocomplete: Some("new-password"),
            required: true,
            hint: Some("At least 8 characters."),
            error: error_of("password"),
            ..Field::default()
        }),
        html! { input type="hidden" name="next" value=(next); },
    ];
    let sign_in = format!("/signin?next={}", words::segment(next));
    let content = layout::narrow(
        "Make an account",
        html! {
            (form::short("/register", &fields, button::submit(Weight::Main, "Make the account")))
            p { "You have one? " (layout::link(&sign_in, "Sign in")) }
        },
    );
    page(frame, "Make an account", content)
}

fn render(frame: &ShopFrame, user: &UserView, error: Option<&FieldError>) -> Markup {
    let error_of = |field: &str| {
        let found = error.filter(|error| error.field == field || (field == "new" && error.field != "current"));
        found.map(|error| error.message.as_str())
    };
    let fields = [
        form::field(&Field {
            name: "current",
            label: "Password now",
            kind: "password",
            autocomplete: Some("current-password"),
            required: true,
            error: error_of("current"),
            ..Field::default()
        }),
        form::field(&Field {
            name: "new",
            label: "New password",
            kind: "password",
            autocomplete: Some("new-password"),
            required: true,
            hint: Some("At least 8 characters. Other browsers are signed out."),
            error: error_of("new"),
            ..Field::default()
        }),
    ];
    let content = layout::narrow(
        "Your account",
        html! {
            (facts::facts(&[("Name", html! { (user.name.as_str()) }), ("E-mail", html! { (user.email.as_str()) })]))
            (button::row(&[button::link(Weight::Plain, "/orders", "See your orders"), signing::sign_out_button("/signout")]))
            (layout::section("password", "Password", html! {},
                form::short("/account/password", &fields, button::submit(Weight::Plain, "Change the password"))))
        },
    );
    page(frame, "Your account", content)
}
