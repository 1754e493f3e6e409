//! User accounts, as administrators see them.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use shared::identity::invites::{self, InviteUser, InvitedUser};
use shared::identity::users::{self, ChangeUser, UserView, Users};
use shared::identity::{second_factor, sessions};
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::values::UserId;
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::idempotent::Once;
use crate::extract::json::{Json, Listed, NoBody, Path};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

pub fn routes() -> Routes {
    let access = Access::Needs(Permission::UsersWrite);
    let (read, write) = (Policy::read(access).no_key(), Policy::write(access).no_key());
    Routes::default()
        .on(routes!(list), read)
        .on(routes!(invite), write.takes_key())
        .on(routes!(invite_again), write.takes_key())
        .on(routes!(get), read)
        .on(routes!(change), write)
        .on(routes!(end_sessions), write)
        .on(routes!(switch_off_totp_of), write)
}

/// List users
///
/// The oldest first.
#[utoipa::path(get, path = "/v1/users", tag = "identity",
    params(Users, Paging),
    responses(
        (status = 200, description = "A page of users", body = List<UserView>),
        (status = 422, description = "`invalid_limit`, `invalid_cursor`, `unknown_field`", body = Problem),
    ),
)]
async fn list(State(db): State<PgPool>, asked: Listed<Users>) -> ApiResult<Answer<List<UserView>>> {
    let users = users::list_users(&mut *db.acquire().await?, &asked.filter, &asked.page).await?;
    Ok(Answer(users))
}

/// Invite a user
///
/// Makes an account with any role, and a link by which its user chooses the password. The link works once, for 24 hours.
/// Needs a password that was given in the last five minutes.
#[utoipa::path(post, path = "/v1/users", tag = "identity",
    request_body(content = InviteUser, example = json!({"email": "sam@example.com", "name": "Sam Staff", "role": "staff"})),
    responses(
        (status = 201, description = "The user and the link; `Location` says where the user is. A replay has no link", body = InvitedUser),
        (status = 403, description = "`forbidden`; `password_required`: log in again, or confirm the password first", body = Problem),
        (status = 409, description = "`email_taken`", body = Problem),
        (status = 422, description = "`invalid_email`, `invalid_name`, `idempotency_key_reused`", body = Problem),
    ),
)]
async fn invite(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    mut once: Once<InviteUser>,
) -> Result<Response, ApiError> {
    let (user, token) = invites::invite(&mut once.tx, &caller, &once.body).await?;
    answer_invited(&state, &uri, &headers, once, user, &token).await
}

/// Invite a user again
///
/// Makes another link, for a user whose link has expired or who forgot the password. Earlier links no longer work. The
/// password stays until the link is used. Needs a password that was given in the last five minutes.
#[utoipa::path(post, path = "/v1/users/{id}/invite", tag = "identity",
    params(("id" = UserId, Path, description = "The user's id")),
    responses(
        (status = 201, description = "The user and the link. A replay has no link", body = InvitedUser),
        (status = 403, description = "`forbidden`; `password_required`: log in again, or confirm the password first", body = Problem),
        (status = 404, description = "`user_not_found`", body = Problem),
    ),
)]
async fn invite_again(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
    uri: Uri,
    headers: HeaderMap,
    mut once: Once<NoBody>,
) -> Result<Response, ApiError> {
    let (user, token) = invites::invite_again(&mut once.tx, &caller, id).await?;
    answer_invited(&state, &uri, &headers, once, user, &token).await
}

async fn answer_invited<T>(
    state: &AppState,
    uri: &Uri,
    headers: &HeaderMap,
    once: Once<T>,
    user: UserView,
    token: &str,
) -> Result<Response, ApiError> {
    let location = format!("/v1/users/{}", user.id);
    let stored = InvitedUser { user: user.clone(), invite_url: None };
    let shown = InvitedUser { user, invite_url: Some(format!("{}/invite/{token}", base_url(state, uri, headers))) };
    once.created_with_secret(location, &shown, &stored).await
}

/// How people reach us: as the operator says, else as this caller does. Only this caller sees the link.
fn base_url(state: &AppState, uri: &Uri, headers: &HeaderMap) -> String {
    if let Some(url) = &state.settings.public_url {
        return url.clone();
    }
    let scheme = if state.tls.is_some() { "https" } else { "http" };
    // HTTP/2 has the host in the address of the request.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(ToString::to_string).or_else(|| host.map(ToOwned::to_owned));
    format!("{scheme}://{}", host.unwrap_or_else(|| state.settings.api_addr.to_string()))
}

/// Read a user
#[utoipa::path(get, path = "/v1/users/{id}", tag = "identity",
    params(("id" = UserId, Path, description = "The user's id")),
    responses(
        (status = 200, description = "The user", body = UserView, headers(("ETag" = String, description = "Its version"))),
        (status = 404, description = "`user_not_found`", body = Problem),
    ),
)]
async fn get(State(db): State<PgPool>, Path(id): Path<UserId>) -> ApiResult<Tagged<UserView>> {
    let user = users::get_user(&mut *db.acquire().await?, id).await?;
    Ok(Tagged(user.version, user))
}

/// Change a user's role, or deactivate one
///
/// Needs a password that was given in the last five minutes. Deactivating ends the user's sessions. Access tokens that
/// were issued before stop working within 60 s.
#[utoipa::path(patch, path = "/v1/users/{id}", tag = "identity",
    params(
        ("id" = UserId, Path, description = "The user's id"),
        ("If-Match" = Option<String>, Header, description = "The version that the change is meant for"),
    ),
    request_body(content = ChangeUser, example = json!({"role": "staff"})),
    responses(
        (status = 200, description = "The user", body = UserView, headers(("ETag" = String, description = "Its new version"))),
        (status = 403, description = "`forbidden`; `password_required`: log in again, or confirm the password first", body = Problem),
        (status = 404, description = "`user_not_found`", body = Problem),
        (status = 409, description = "`last_admin`: nobody could administer users any more", body = Problem),
        (status = 412, description = "`version_mismatch`", body = Problem),
    ),
)]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
    IfMatch(version): IfMatch,
    Json(asked): Json<ChangeUser>,
) -> ApiResult<Tagged<UserView>> {
    let mut tx = state.db.begin().await?;
    let user = users::change_user(&mut tx, &caller, id, asked, version).await?;
    tx.commit().await?;
    state.identity.forget_user(id);
    Ok(Tagged(user.version, user))
}

/// End all sessions of a user
///
/// Needs a password that was given in the last five minutes. Tokens of the sessions stop working within 60 s.
#[utoipa::path(delete, path = "/v1/users/{id}/sessions", tag = "identity",
    params(("id" = UserId, Path, description = "The user's id")),
    responses(
        (status = 204, description = "The sessions have ended"),
        (status = 403, description = "`forbidden`; `password_required`: log in again, or confirm the password first", body = Problem),
        (status = 404, description = "`user_not_found`", body = Problem),
    ),
)]
async fn end_sessions(State(state): State<AppState>, caller: Caller, Path(id): Path<UserId>) -> ApiResult<StatusCode> {
    let mut tx = state.db.begin().await?;
    sessions::end_those_of(&mut tx, &caller, id).await?;
    tx.commit().await?;
    state.identity.forget_user(id);
    Ok(StatusCode::NO_CONTENT)
}

/// Switch a user's second factor off
///
/// For users who lost their app and their recovery codes. Needs a password that was given in the last five minutes.
#[utoipa::path(delete, path = "/v1/users/{id}/totp", tag = "identity",
    params(("id" = UserId, Path, description = "The user's id")),
    responses(
        (status = 204, description = "The user's next login needs no code"),
        (status = 403, description = "`forbidden`; `password_required`: log in again, or confirm the password first", body = Problem),
        (status = 404, description = "`user_not_found`", body = Problem),
    ),
)]
async fn switch_off_totp_of(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> ApiResult<StatusCode> {
    let mut tx = state.db.begin().await?;
    second_factor::switch_off(&mut tx, &caller, id).await?;
    tx.commit().await?;
    state.identity.forget_user(id);
    Ok(StatusCode::NO_CONTENT)
}
