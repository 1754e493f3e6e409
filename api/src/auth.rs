//! Registering, signing in and out, and what signed-in users change about themselves.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json as Answer};
use shared::error::Error;
use shared::identity::attempts::{self, Tried};
use shared::identity::sessions::{self, ChangePassword, Client, LogIn, Refresh, Refreshed, Tokens};
use shared::identity::users::{self, Register, UserView};
use shared::platform::limits::Class;
use shared::principal::Source;
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::error::{ApiResult, Problem};
use crate::extract::etag::Tagged;
use crate::extract::json::Json;
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

/// Room for an e-mail address, a password and a name many times over. We read such a body before we know who sends it.
const CREDENTIALS_LIMIT: usize = 8 * 1024;

pub fn routes() -> Routes {
    let by_anyone = Policy::write(Access::Anyone).class(Class::Login).body_limit(CREDENTIALS_LIMIT);
    let signed_in = Policy::write(Access::SignedIn).body_limit(CREDENTIALS_LIMIT);
    Routes::default()
        .on(routes!(register), by_anyone)
        .on(routes!(log_in), by_anyone)
        .on(routes!(refresh), by_anyone)
        .on(routes!(log_out), signed_in)
        .on(routes!(me), Policy::read(Access::SignedIn))
        .on(routes!(change_password), signed_in.class(Class::Login))
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
        (status = 422, description = "`invalid_email`, `weak_password` (under 8 characters), `invalid_name`", body = Problem),
        (status = 429, description = "`rate_limited`: see `Retry-After`", body = Problem),
    ),
)]
async fn register(
    State(db): State<PgPool>,
    Extension(source): Extension<Source>,
    Json(asked): Json<Register>,
) -> ApiResult<impl IntoResponse> {
    let user = users::register(&db, asked, &source).await?;
    Ok((StatusCode::CREATED, Answer(user)))
}

/// Log in
///
/// Begins a session. An unknown address, a wrong password and an inactive user all get the same answer.
#[utoipa::path(post, path = "/v1/auth/login", tag = "identity",
    request_body(content = LogIn, example = json!({"email": "alice@example.com", "password": "correct horse battery"})),
    responses(
        (status = 200, description = "The session's first tokens", body = Tokens),
        (status = 401, description = "`invalid_credentials`", body = Problem),
        (status = 429, description = "`rate_limited`: too many wrong passwords for this account from this address, or too many requests; see `Retry-After`", body = Problem),
        (status = 503, description = "`overloaded`: too many passwords wait to be checked; see `Retry-After`", body = Problem),
    ),
)]
async fn log_in(
    State(state): State<AppState>,
    Extension(source): Extension<Source>,
    Json(login): Json<LogIn>,
) -> ApiResult<impl IntoResponse> {
    let account = attempts::account_of(&login.email);
    let tokens = tried(&state, &source).attempt(&account, state.identity.log_in(&state.db, login, &source)).await?;
    Ok((NO_STORE, Answer(tokens)))
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
    let client = Client::new(source.address, headers.get(header::USER_AGENT).map_or(b"", HeaderValue::as_bytes));
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

/// Log out
///
/// Ends the caller's session with all its tokens.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "identity", responses(
    (status = 204, description = "The session has ended"),
))]
async fn log_out(State(state): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    let mut tx = state.db.begin().await?;
    let session_id = sessions::log_out(&mut tx, &caller).await?;
    tx.commit().await?;
    state.identity.forget_session(session_id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Read the caller's own account
#[utoipa::path(get, path = "/v1/me", tag = "identity", responses(
    (status = 200, description = "The caller", body = UserView, headers(("ETag" = String, description = "Its version"))),
))]
async fn me(State(db): State<PgPool>, caller: Caller) -> ApiResult<Tagged<UserView>> {
    let user = users::get_user(&mut *db.acquire().await?, caller.require_person()?.user_id).await?;
    Ok(Tagged(user.version, user))
}

/// Change the caller's own password
///
/// Ends the caller's other sessions, but not this one.
#[utoipa::path(post, path = "/v1/me/password", tag = "identity",
    request_body(content = ChangePassword, example = json!({"current_password": "correct horse battery", "new_password": "battery horse correct"})),
    responses(
        (status = 204, description = "The password is changed"),
        (status = 401, description = "`invalid_credentials`: the current password is not right; `unauthenticated`", body = Problem),
        (status = 422, description = "`weak_password` (under 8 characters)", body = Problem),
    ),
)]
async fn change_password(
    State(state): State<AppState>,
    caller: Caller,
    Json(asked): Json<ChangePassword>,
) -> ApiResult<StatusCode> {
    let user_id = caller.require_person()?.user_id;
    let changed = state.identity.change_password(&state.db, &caller, asked);
    tried(&state, &caller.source).attempt(user_id.0.as_bytes(), changed).await?;
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

/// How the limit of wrong passwords is counted.
fn tried<'a>(state: &'a AppState, source: &'a Source) -> Tried<'a> {
    let limits = &state.settings.rate_limits;
    Tried { limiter: &state.limiter, limit: limits.on.then_some(limits.account), source }
}
