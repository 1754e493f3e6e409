//! Registering, signing in and out.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json as Answer};
use shared::error::Error;
use shared::identity::invites::AcceptInvite;
use shared::identity::known_networks::Account;
use shared::identity::sessions::{self, Surface};
use shared::identity::sign_in::{Client, LogIn, Refresh, Refreshed, Tokens};
use shared::identity::users::{self, Register, UserView};
use shared::platform::limits::Class;
use shared::principal::Source;
use utoipa_axum::routes;

use crate::error::{ApiResult, Problem};
use crate::extract::json::{self, Json};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

/// Room for an e-mail address, a password and a name many times over. We read such a body before we know who sends it.
pub const CREDENTIALS_LIMIT: usize = 8 * 1024;

pub fn routes() -> Routes {
    let by_anyone = Policy::write(Access::Anyone).no_key().class(Class::Login).body_limit(CREDENTIALS_LIMIT);
    Routes::default()
        .on(routes!(register), by_anyone)
        .on(routes!(log_in), by_anyone)
        .on(routes!(refresh), by_anyone)
        .on(routes!(accept_invite), by_anyone)
        .on(
            routes!(log_out),
            Policy::write(Access::SignedIn).no_key().class(Class::Login).body_limit(CREDENTIALS_LIMIT).before_totp(),
        )
        .on(routes!(jwks), Policy::read(Access::Anyone))
}

/// No cache on the way may keep a token.
const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Register
///
/// Makes an account with the role `customer`, and its own customer record.
#[utoipa::path(post, path = "/v1/auth/register", tag = "identity",
    request_body(content = Register, example = json!({"email": "alice@example.com", "password": "correct horse battery", "name": "Alice"})),
    responses(
        (status = 201, description = "The user", body = UserView),
        (status = 409, description = "`email_taken`: there is an account with this address, in whatever case", body = Problem),
        (status = 422, description = "`invalid_email`, `weak_password` (under 8 characters, one of the 10,000 most common, or the caller's own address or name), `invalid_name`", body = Problem),
        (status = 429, description = "`rate_limited`: too many accounts from this address, or too many requests; see `Retry-After`", body = Problem),
    ),
)]
async fn register(
    State(state): State<AppState>,
    Extension(source): Extension<Source>,
    Json(asked): Json<Register>,
) -> ApiResult<impl IntoResponse> {
    asked.check()?;
    // Counted here and not by the policy: a form that was filled in wrongly is no new account.
    state.attempts.new_account(&source).await?;
    let user = users::register(&state.db, asked, &source).await?;
    Ok((StatusCode::CREATED, Answer(user)))
}

/// Log in
///
/// Begins a session. An unknown address, a wrong password and an inactive user all get the same answer. An account with a
/// second factor also needs `code`: one from the app, or a recovery code. Each works once.
#[utoipa::path(post, path = "/v1/auth/login", tag = "identity",
    request_body(content = LogIn, example = json!({"email": "alice@example.com", "password": "correct horse battery"})),
    responses(
        (status = 200, description = "The session's first tokens", body = Tokens),
        (status = 401, description = "`invalid_credentials`; with the right password `totp_required` (send `code` too) and `invalid_code`", body = Problem),
        (status = 429, description = "`rate_limited`: too many wrong passwords for this account, or too many requests; see `Retry-After`", body = Problem),
        (status = 503, description = "`overloaded`: too many passwords wait to be checked; see `Retry-After`", body = Problem),
    ),
)]
async fn log_in(
    State(state): State<AppState>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    Json(login): Json<LogIn>,
) -> ApiResult<impl IntoResponse> {
    let account = Account::typed(&login.email);
    let client = client(&source, &headers);
    let signing_in = state.identity.log_in(&state.db, login, &client, &source);
    let tokens = state.attempts.run(&account, &source, signing_in).await?;
    Ok((NO_STORE, Answer(tokens)))
}

fn client(source: &Source, headers: &HeaderMap) -> Client {
    let user_agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    Client::new(Surface::Api, source.address, user_agent)
}

/// Exchange a refresh token for the next pair
///
/// Each refresh token can be used once. If the answer was lost, the same client may ask again within 10 s and gets the
/// same tokens. A spent token that is used later, or by another client, counts as stolen: its session ends.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "identity",
    request_body(content = Refresh, example = json!({"refresh_token": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"})),
    responses(
        (status = 200, description = "The next tokens; the old refresh token is spent", body = Tokens),
        (status = 401, description = "`invalid_token`: it is not a refresh token, or expired, or spent, or its session has ended", body = Problem),
        (status = 429, description = "`rate_limited`: see `Retry-After`", body = Problem),
    ),
)]
async fn refresh(
    State(state): State<AppState>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    Json(asked): Json<Refresh>,
) -> ApiResult<impl IntoResponse> {
    let client = client(&source, &headers);
    let mut tx = state.db.begin().await?;
    let refreshed = state.identity.refresh(&mut tx, &asked, &client, &source).await?;
    tx.commit().await?;
    match refreshed {
        Refreshed::Tokens(tokens) => Ok((NO_STORE, Answer(tokens))),
        Refreshed::Stolen(session_id) => {
            state.identity.forget_session(session_id).await;
            Err(Error::InvalidToken.into())
        }
        Refreshed::Refused => Err(Error::InvalidToken.into()),
    }
}

/// Accept an invitation
///
/// Sets the password of an invited user, who then logs in with it. Ends the user's sessions.
#[utoipa::path(post, path = "/v1/auth/invite", tag = "identity",
    request_body(content = AcceptInvite, example = json!({"token": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA", "password": "correct horse battery"})),
    responses(
        (status = 204, description = "The password is set, and the link is used up"),
        (status = 401, description = "`invalid_token`: the link has expired, was used, or was replaced by another", body = Problem),
        (status = 422, description = "`weak_password` (under 8 characters, one of the 10,000 most common, or the user's own address or name)", body = Problem),
        (status = 429, description = "`rate_limited`: see `Retry-After`", body = Problem),
    ),
)]
async fn accept_invite(
    State(state): State<AppState>,
    Extension(source): Extension<Source>,
    Json(asked): Json<AcceptInvite>,
) -> ApiResult<StatusCode> {
    state.identity.accept_invite(&state.db, asked, &source).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Log out
///
/// Ends the caller's session with all its tokens.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "identity", responses(
    (status = 204, description = "The session has ended"),
))]
async fn log_out(State(state): State<AppState>, caller: Caller, request: Request) -> ApiResult<StatusCode> {
    json::read(request, &state).await?; // A body means nothing here, but it may not be large either.
    let mut tx = state.db.begin().await?;
    let session_id = sessions::log_out(&mut tx, &caller).await?;
    tx.commit().await?;
    state.identity.forget_session(session_id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Read the public keys of access tokens
///
/// The key that signs now, and the previous keys that are still accepted.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "identity", responses(
    (status = 200, description = "A JWK set (RFC 7517)", body = Object, content_type = "application/json",
     example = json!({"keys": [{"use": "sig", "alg": "EdDSA", "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})),
))]
async fn jwks(State(state): State<AppState>) -> impl IntoResponse {
    // Shorter than the life of a token: clients learn a new key before the last token of the old one expires.
    ([(header::CACHE_CONTROL, "public, max-age=300")], Answer(state.identity.keys().jwks().clone()))
}
