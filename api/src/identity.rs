//! Accounts, sessions and roles over HTTP.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;
use sha2::{Digest, Sha256};
use shared::error::Error;
use shared::identity::sessions::{self, ChangePassword, Client, LogIn, Refresh, Tokens};
use shared::identity::{self, ChangeUser, Register, Role, User, Users};
use shared::limits::Class;
use shared::page::List;
use shared::values::UserId;
use sqlx::PgPool;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AppState;
use crate::auth::{Admin, Caller, ClientAddr};
use crate::error::{ApiError, ApiResult, Problem};
use crate::etag::{IfMatch, Tagged};
use crate::json::{Json, Listed, Path};
use crate::limits;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(log_in))
}

/// Who gets a token keeps it; nothing on the way may.
const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Log in
///
/// Begins a session. What is wrong with the credentials is not said: an unknown address, a wrong password
/// and an inactive user get the same answer.
#[utoipa::path(post, path = "/v1/auth/login", tag = "identity", request_body = LogIn, responses(
    (status = 200, description = "The session's first tokens", body = Tokens),
    (status = 401, description = "`invalid_credentials`", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "`rate_limited`: too many wrong passwords for this account from this address, or too \
        many requests; see `Retry-After`", body = Problem, content_type = "application/problem+json"),
))]
async fn log_in(
    State(state): State<AppState>,
    address: ClientAddr,
    Json(login): Json<LogIn>,
) -> ApiResult<impl IntoResponse> {
    let account = Sha256::digest(login.email.trim().to_lowercase());
    let tokens = attempt(&state, &account, address, state.identity.log_in(&state.db, login)).await?;
    Ok((NO_STORE, Answer(tokens)))
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
    if let Some(refusal) = limits::refusal(&state.limiter.take(class, &subject, limit)) {
        return Err(refusal);
    }
    let outcome = attempt.await;
    if !matches!(outcome, Err(Error::InvalidCredentials)) {
        state.limiter.give_back(class, &subject, limit);
    }
    Ok(outcome?)
}

struct HexOf<'a>(&'a [u8]);

impl std::fmt::Display for HexOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
