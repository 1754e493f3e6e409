//! What signed-in users see and change about themselves: account, password, sessions, second factor.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::identity::api_keys;
use shared::identity::own_password::{ChangePassword, ConfirmPassword};
use shared::identity::second_factor::{self, ConfirmTotp, RecoveryCodes, TotpSetup, TotpView};
use shared::identity::sessions::{self, SessionView};
use shared::identity::users::{self, UserView};
use shared::ops::views::{self, NewView, SavedView};
use shared::page::{List, Paging};
use shared::platform::limits::Class;
use shared::principal::Permission;
use shared::scope::Scope;
use shared::values::{ApiKeyId, Name, SessionId, UserId};
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::auth::CREDENTIALS_LIMIT;
use crate::error::{ApiResult, Problem};
use crate::extract::etag::Tagged;
use crate::extract::idempotent::Once;
use crate::extract::json::{Json, Listed, NoFilter, Path};
use crate::extract::principal::Caller;
use crate::policy::{Access, KeyAccess, Policy};
use crate::router::Routes;
use crate::state::AppState;

pub fn routes() -> Routes {
    let read = Policy::read(Access::SignedIn).no_key().before_totp();
    let write = Policy::write(Access::SignedIn).no_key().body_limit(CREDENTIALS_LIMIT).before_totp();
    Routes::default()
        .on(routes!(me), read.keys(KeyAccess::Any))
        .on(routes!(change_password), write.class(Class::Login))
        .on(routes!(confirm_password), write.class(Class::Login))
        .on(routes!(list_sessions), read)
        .on(routes!(end_session), write)
        .on(routes!(totp), read)
        .on(routes!(set_up_totp), write)
        .on(routes!(confirm_totp), write.class(Class::Login))
        .on(routes!(switch_off_totp), write)
        .on(routes!(views), Policy::read(Access::Needs(Permission::OpsRead)).scope(Scope::OpsRead))
        .on(routes!(save_view), Policy::write(Access::Needs(Permission::OpsRead)).scope(Scope::OpsWrite).takes_key())
        .on(routes!(delete_view), Policy::write(Access::Needs(Permission::OpsRead)).scope(Scope::OpsWrite))
}

/// Who the caller is: a person, or a program with an API key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum MeView {
    Person(UserView),
    Service(ServiceView),
}

/// A service account, as its key sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d11", "name": "Warehouse robot", "api_key_id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d12",
    "scopes": ["orders:write"], "limit_per_minute": null, "expires_at": "2027-02-19T09:30:00Z"
}))]
struct ServiceView {
    id: UserId,
    name: Name,
    api_key_id: ApiKeyId,
    scopes: Vec<Scope>,
    limit_per_minute: Option<u32>,
    expires_at: DateTime<Utc>,
}

/// Read the caller's own account
///
/// Each API key may call it. It then shows the service account and the key.
#[utoipa::path(get, path = "/v1/me", tag = "identity", responses(
    (status = 200, description = "The caller", body = MeView, headers(("ETag" = String, description = "Its version"))),
))]
async fn me(State(db): State<PgPool>, caller: Caller) -> ApiResult<Tagged<MeView>> {
    let mut conn = db.acquire().await?;
    if let Some(account) = caller.service_account() {
        let key = api_keys::get(&mut conn, account.key_id).await?;
        let service = ServiceView {
            id: account.user_id,
            name: account.name.clone(),
            api_key_id: account.key_id,
            scopes: account.scopes.given().collect(),
            limit_per_minute: account.limit_per_minute,
            expires_at: key.expires_at,
        };
        return Ok(Tagged(key.version, MeView::Service(service)));
    }
    let user = users::get_user(&mut conn, caller.require_person()?.user_id).await?;
    Ok(Tagged(user.version, MeView::Person(user)))
}

/// Change the caller's own password
///
/// Ends the caller's other sessions, but not this one.
#[utoipa::path(post, path = "/v1/me/password", tag = "identity",
    request_body(content = ChangePassword, example = json!({"current_password": "correct horse battery", "new_password": "battery horse correct"})),
    responses(
        (status = 204, description = "The password is changed"),
        (status = 401, description = "`invalid_credentials`: the current password is not right; `unauthenticated`", body = Problem),
        (status = 422, description = "`weak_password` (under 8 characters, one of the 10,000 most common, or the caller's own address or name)", body = Problem),
    ),
)]
async fn change_password(
    State(state): State<AppState>,
    caller: Caller,
    Json(asked): Json<ChangePassword>,
) -> ApiResult<StatusCode> {
    let changed = Box::pin(state.identity.change_password(&state.db, &caller, asked));
    state.attempts.of_person(&caller, changed).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Confirm the caller's own password
///
/// For five minutes the caller's session may then do what needs a fresh password: roles, ending the sessions of others,
/// changing the second factor.
#[utoipa::path(post, path = "/v1/me/password/confirm", tag = "identity",
    request_body(content = ConfirmPassword, example = json!({"password": "correct horse battery"})),
    responses(
        (status = 204, description = "The password is right"),
        (status = 401, description = "`invalid_credentials`: the password is not right; `unauthenticated`", body = Problem),
    ),
)]
async fn confirm_password(
    State(state): State<AppState>,
    caller: Caller,
    Json(asked): Json<ConfirmPassword>,
) -> ApiResult<StatusCode> {
    let confirmed = Box::pin(state.identity.confirm_password(&state.db, &caller, asked));
    state.attempts.of_person(&caller, confirmed).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List where the caller is signed in
///
/// The oldest session first.
#[utoipa::path(get, path = "/v1/me/sessions", tag = "identity",
    params(Paging),
    responses(
        (status = 200, description = "A page of the caller's sessions", body = List<SessionView>),
        (status = 422, description = "`invalid_limit`, `invalid_cursor`, `unknown_field`", body = Problem),
    ),
)]
async fn list_sessions(
    State(state): State<AppState>,
    caller: Caller,
    asked: Listed<NoFilter>,
) -> ApiResult<Answer<List<SessionView>>> {
    Ok(Answer(state.identity.list_sessions(&state.db, &caller, &asked.page).await?))
}

/// End one of the caller's sessions
///
/// Its tokens stop working within 60 s everywhere.
#[utoipa::path(delete, path = "/v1/me/sessions/{id}", tag = "identity",
    params(("id" = SessionId, Path, description = "The session's id")),
    responses(
        (status = 204, description = "The session has ended"),
        (status = 404, description = "`session_not_found`: there is none of the caller with this id, or it has ended", body = Problem),
    ),
)]
async fn end_session(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> ApiResult<StatusCode> {
    let mut tx = state.db.begin().await?;
    sessions::end_own(&mut tx, &caller, id).await?;
    tx.commit().await?;
    state.identity.forget_session(id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Read the state of the caller's second factor
#[utoipa::path(get, path = "/v1/me/totp", tag = "identity", responses(
    (status = 200, description = "Whether it is on, and how many recovery codes are left", body = TotpView),
))]
async fn totp(State(db): State<PgPool>, caller: Caller) -> ApiResult<Answer<TotpView>> {
    Ok(Answer(second_factor::status(&mut *db.acquire().await?, &caller).await?))
}

/// Set up a second factor
///
/// Answers what an authenticator app needs. It counts only after `POST /v1/me/totp/confirm`.
#[utoipa::path(post, path = "/v1/me/totp", tag = "identity", responses(
    (status = 201, description = "The secret, shown once", body = TotpSetup),
    (status = 403, description = "`password_required`: log in again, or confirm the password first", body = Problem),
    (status = 409, description = "`totp_already_on`", body = Problem),
))]
async fn set_up_totp(State(db): State<PgPool>, caller: Caller) -> ApiResult<(StatusCode, Answer<TotpSetup>)> {
    let mut tx = db.begin().await?;
    let setup = second_factor::set_up(&mut tx, &caller).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(setup)))
}

/// Switch the second factor on
///
/// Takes a code of the app. Ends the caller's other sessions, which were begun without it. From now on logging in needs
/// `code`.
#[utoipa::path(post, path = "/v1/me/totp/confirm", tag = "identity",
    request_body(content = ConfirmTotp, example = json!({"code": "492039"})),
    responses(
        (status = 200, description = "The recovery codes, shown once", body = RecoveryCodes),
        (status = 401, description = "`invalid_code`; `unauthenticated`", body = Problem),
        (status = 409, description = "`totp_not_set_up`, `totp_already_on`", body = Problem),
    ),
)]
async fn confirm_totp(
    State(state): State<AppState>,
    caller: Caller,
    Json(asked): Json<ConfirmTotp>,
) -> ApiResult<Answer<RecoveryCodes>> {
    let confirmed = Box::pin(async {
        let mut tx = state.db.begin().await?;
        let codes = second_factor::confirm(&mut tx, &caller, &asked).await?;
        tx.commit().await?;
        Ok(codes)
    });
    let codes = state.attempts.of_person(&caller, confirmed).await?;
    state.identity.forget_user(caller.require_person()?.user_id);
    Ok(Answer(codes))
}

/// Switch the second factor off
///
/// Repeating it changes nothing.
#[utoipa::path(delete, path = "/v1/me/totp", tag = "identity", responses(
    (status = 204, description = "Logging in needs no code any more"),
    (status = 403, description = "`password_required`: log in again, or confirm the password first", body = Problem),
))]
async fn switch_off_totp(State(state): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    let user_id = caller.require_person()?.user_id;
    let mut tx = state.db.begin().await?;
    second_factor::switch_off(&mut tx, &caller, user_id).await?;
    tx.commit().await?;
    state.identity.forget_user(user_id);
    Ok(StatusCode::NO_CONTENT)
}

/// List the caller's saved views of the console
#[utoipa::path(get, path = "/v1/ops/views", tag = "identity", responses(
    (status = 200, description = "At most 50, by name", body = List<SavedView>),
))]
async fn views(State(db): State<PgPool>, caller: Caller) -> ApiResult<Answer<List<SavedView>>> {
    let views = views::list(&mut *db.acquire().await?, &caller).await?;
    Ok(Answer(List { data: views, next_cursor: None }))
}

/// Save a view of the console
///
/// One of the caller with the same name is replaced.
#[utoipa::path(post, path = "/v1/ops/views", tag = "identity", request_body = NewView, responses(
    (status = 201, description = "The view", body = SavedView),
    (status = 422, description = "`invalid_name`, `invalid_path`, `too_many_views`", body = Problem),
))]
async fn save_view(caller: Caller, mut once: Once<NewView>) -> ApiResult<Response> {
    let view = views::save(&mut once.tx, &caller, &once.body).await?;
    once.answer(StatusCode::CREATED, &view).await
}

/// Delete a saved view
#[utoipa::path(delete, path = "/v1/ops/views/{id}", tag = "identity",
    params(("id" = uuid::Uuid, Path, description = "The view's id")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "`view_not_found`", body = Problem),
    ),
)]
async fn delete_view(State(db): State<PgPool>, caller: Caller, Path(id): Path<uuid::Uuid>) -> ApiResult<StatusCode> {
    views::delete(&mut *db.acquire().await?, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
