//! Accounts, sessions and roles over HTTP.

use axum::Json as Answer;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use sha2::{Digest, Sha256};
use shared::error::Error;
use shared::identity::sessions::{self, ChangePassword, Client, LogIn, Refresh, Refreshed, Tokens};
use shared::identity::{self, ChangeUser, Register, Role, UserView, Users};
use shared::page::{List, Paging};
use shared::platform::limits::Class;
use shared::values::UserId;
use sqlx::PgPool;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AppState;
use crate::error::{ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::json::{Json, Listed, Path};
use crate::extract::principal::{Admin, Caller, ClientAddr};
use crate::surface::{CREDENTIALS_LIMIT, limits};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(change_password))
        .layer(DefaultBodyLimit::max(CREDENTIALS_LIMIT))
        .routes(routes!(me))
        .routes(routes!(list))
        .routes(routes!(get, change))
        .routes(routes!(jwks))
}

/// Who gets a token keeps it; nothing on the way may.
const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Register
///
/// Makes an account with the role `customer`, and the customer record that it orders as.
#[utoipa::path(post, path = "/v1/auth/register", tag = "identity",
    request_body(content = Register, example = json!({"email": "alice@example.com", "password": "correct horse battery", "name": "Alice"})),
    responses(
        (status = 201, description = "The user", body = UserView),
        (status = 409, description = "`email_taken`: there is an account with this address, in whatever case", body = Problem),
        (status = 422, description = "`invalid_email`, `weak_password` (under 8 characters), `invalid_name`", body = Problem),
        (status = 429, description = "`rate_limited`: see `Retry-After`", body = Problem),
    ),
)]
async fn register(State(db): State<PgPool>, Json(asked): Json<Register>) -> ApiResult<impl IntoResponse> {
    let user = identity::create_user(&db, asked.email, asked.password, asked.name, Role::Customer).await?;
    Ok((StatusCode::CREATED, Answer(user)))
}

/// Log in
///
/// Begins a session. What is wrong with the credentials is not said: an unknown address, a wrong password
/// and an inactive user get the same answer.
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
    address: ClientAddr,
    Json(login): Json<LogIn>,
) -> ApiResult<impl IntoResponse> {
    let account = Sha256::digest(login.email.trim().to_lowercase());
    let tokens = attempt(&state, &account, address, state.identity.log_in(&state.db, login)).await?;
    Ok((NO_STORE, Answer(tokens)))
}

/// Exchange a refresh token for the next pair
///
/// Each refresh token is good once. If the answer was lost, the same client may ask again within 10 s and
/// gets the same successor. A spent one that comes later, or from elsewhere, was stolen: its session ends.
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
    ClientAddr(address): ClientAddr,
    headers: HeaderMap,
    Json(asked): Json<Refresh>,
) -> ApiResult<impl IntoResponse> {
    let client = Client::new(address, headers.get(header::USER_AGENT).map_or(b"", HeaderValue::as_bytes));
    let mut tx = state.db.begin().await?;
    let refreshed = state.identity.refresh(&mut tx, &asked, &client).await?;
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
#[utoipa::path(post, path = "/v1/auth/logout", tag = "identity", security(("token" = [])), responses(
    (status = 204, description = "The session has ended"),
))]
async fn log_out(State(state): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    let mut tx = state.db.begin().await?;
    sessions::end(&mut tx, caller.person().session_id).await?;
    tx.commit().await?;
    state.identity.forget_session(caller.person().session_id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Who am I?
#[utoipa::path(get, path = "/v1/me", tag = "identity", security(("token" = [])), responses(
    (status = 200, description = "The caller", body = UserView, headers(("ETag" = String, description = "Its version"))),
))]
async fn me(State(db): State<PgPool>, caller: Caller) -> ApiResult<Tagged<UserView>> {
    let user = identity::get_user(&mut *db.acquire().await?, caller.person().user_id).await?;
    Ok(Tagged(user.version, user))
}

/// Change the own password
///
/// Ends the caller's other sessions; this one goes on.
#[utoipa::path(post, path = "/v1/me/password", tag = "identity", security(("token" = [])),
    request_body(content = ChangePassword, example = json!({"current_password": "correct horse battery", "new_password": "battery horse correct"})),
    responses(
        (status = 204, description = "The new password is the one that counts"),
        (status = 401, description = "`invalid_credentials`: the current password is not right; `unauthenticated`", body = Problem),
        (status = 422, description = "`weak_password` (under 8 characters)", body = Problem),
    ),
)]
async fn change_password(
    State(state): State<AppState>,
    caller: Caller,
    address: ClientAddr,
    Json(asked): Json<ChangePassword>,
) -> ApiResult<StatusCode> {
    let changed = state.identity.change_password(&state.db, caller.person(), asked);
    attempt(&state, caller.person().user_id.0.as_bytes(), address, changed).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List users
///
/// The oldest first.
#[utoipa::path(get, path = "/v1/users", tag = "identity", security(("token" = [])),
    params(Users, Paging),
    responses(
        (status = 200, description = "A page of users", body = List<UserView>),
        (status = 422, description = "`invalid_limit`, `invalid_cursor`, `unknown_field`", body = Problem),
    ),
)]
async fn list(State(db): State<PgPool>, _: Admin, asked: Listed<Users>) -> ApiResult<Answer<List<UserView>>> {
    let users = identity::list_users(&mut *db.acquire().await?, &asked.filter, &asked.page).await?;
    Ok(Answer(users))
}

/// A user
#[utoipa::path(get, path = "/v1/users/{id}", tag = "identity", security(("token" = [])),
    params(("id" = UserId, Path, description = "The user's id")),
    responses(
        (status = 200, description = "The user", body = UserView, headers(("ETag" = String, description = "Its version"))),
        (status = 404, description = "`user_not_found`", body = Problem),
    ),
)]
async fn get(State(db): State<PgPool>, _: Admin, Path(id): Path<UserId>) -> ApiResult<Tagged<UserView>> {
    let user = identity::get_user(&mut *db.acquire().await?, id).await?;
    Ok(Tagged(user.version, user))
}

/// Change a user's role, or deactivate one
///
/// Deactivating ends the user's sessions. Access tokens that are already out follow within 60 s.
#[utoipa::path(patch, path = "/v1/users/{id}", tag = "identity", security(("token" = [])),
    params(
        ("id" = UserId, Path, description = "The user's id"),
        ("If-Match" = Option<String>, Header, description = "The version that the change is meant for"),
    ),
    request_body(content = ChangeUser, example = json!({"role": "staff"})),
    responses(
        (status = 200, description = "The user", body = UserView, headers(("ETag" = String, description = "Its new version"))),
        (status = 404, description = "`user_not_found`", body = Problem),
        (status = 409, description = "`last_admin`: nobody could administer users any more", body = Problem),
        (status = 412, description = "`version_mismatch`", body = Problem),
    ),
)]
async fn change(
    State(state): State<AppState>,
    _: Admin,
    Path(id): Path<UserId>,
    IfMatch(version): IfMatch,
    Json(asked): Json<ChangeUser>,
) -> ApiResult<Tagged<UserView>> {
    let mut tx = state.db.begin().await?;
    let user = identity::change_user(&mut tx, id, asked, version).await?;
    tx.commit().await?;
    state.identity.forget_user(id);
    Ok(Tagged(user.version, user))
}

/// The public keys of access tokens
///
/// The one that signs, and its predecessors for as long as they are believed.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "identity", responses(
    (status = 200, description = "A JWK set (RFC 7517)", body = Object, content_type = "application/json",
     example = json!({"keys": [{"use": "sig", "alg": "EdDSA", "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})),
))]
async fn jwks(State(state): State<AppState>) -> impl IntoResponse {
    // Short enough that a new key is known before its predecessor's last token has expired.
    ([(header::CACHE_CONTROL, "public, max-age=300")], Answer(state.identity.keys().jwks().clone()))
}

/// Lets a password be tried, unless too many were wrong for this account from this address. Whether there is
/// such an account makes no difference. The try is taken first, so that many at once are not free.
async fn attempt<T>(
    state: &AppState,
    account: &[u8],
    ClientAddr(address): ClientAddr,
    attempt: impl Future<Output = Result<T, Error>>,
) -> ApiResult<T> {
    if !state.settings.rate_limits.on {
        return Ok(attempt.await?);
    }
    let (class, limit) = (Class::Account, state.settings.rate_limits.account);
    let subject = format!("{}|{address}", HexOf(account));
    if let Some(refusal) = limits::refusal(&state.limiter.take(class, &subject, limit).await) {
        return Err(refusal);
    }
    let outcome = attempt.await;
    if !matches!(outcome, Err(Error::InvalidCredentials)) {
        state.limiter.give_back(class, &subject, limit).await;
    }
    Ok(outcome?)
}

struct HexOf<'a>(&'a [u8]);

impl std::fmt::Display for HexOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
