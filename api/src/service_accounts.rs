//! Service accounts, as administrators see them. No API key opens these routes.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use shared::identity::api_keys::{self, NewApiKey, NewApiKeyView};
use shared::identity::service_accounts::{self, ChangeServiceAccount, NewServiceAccount, ServiceAccountView};
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::values::UserId;
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::api_keys::answer_made;
use crate::error::{ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::idempotent::Once;
use crate::extract::json::{Json, Listed, NoFilter, Path};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

pub fn routes() -> Routes {
    let access = Access::Needs(Permission::UsersWrite);
    let (read, write) = (Policy::read(access).no_key(), Policy::write(access).no_key());
    Routes::default()
        .on(routes!(list), read)
        .on(routes!(create), write.takes_key())
        .on(routes!(get), read)
        .on(routes!(change), write)
        .on(routes!(create_key), write.takes_key())
}

/// List service accounts
///
/// The newest first.
#[utoipa::path(get, path = "/v1/service-accounts", tag = "keys", params(Paging), responses(
    (status = 200, description = "A page of service accounts", body = List<ServiceAccountView>),
    (status = 422, description = "`invalid_limit`, `invalid_cursor`, `unknown_field`", body = Problem),
))]
async fn list(State(db): State<PgPool>, asked: Listed<NoFilter>) -> ApiResult<Answer<List<ServiceAccountView>>> {
    Ok(Answer(service_accounts::list(&mut *db.acquire().await?, &asked.page).await?))
}

/// Make a service account
///
/// What a program acts as. It can do nothing until it has a key.
#[utoipa::path(post, path = "/v1/service-accounts", tag = "keys", request_body = NewServiceAccount, responses(
    (status = 201, description = "The account", body = ServiceAccountView,
        headers(("Location" = String), ("ETag" = String))),
    (status = 422, description = "`invalid_name`, `invalid_note`, `idempotency_key_reused`", body = Problem),
))]
async fn create(caller: Caller, mut once: Once<NewServiceAccount>) -> ApiResult<Response> {
    let account = service_accounts::create(&mut once.tx, &caller, &once.body).await?;
    once.created(format!("/v1/service-accounts/{}", account.id), account.version, &account).await
}

/// Read a service account
#[utoipa::path(get, path = "/v1/service-accounts/{id}", tag = "keys",
    params(("id" = UserId, Path, description = "The account's id")),
    responses(
        (status = 200, description = "The account", body = ServiceAccountView, headers(("ETag" = String))),
        (status = 404, description = "`service_account_not_found`", body = Problem),
    ))]
async fn get(State(db): State<PgPool>, Path(id): Path<UserId>) -> ApiResult<Tagged<ServiceAccountView>> {
    let account = service_accounts::get(&mut *db.acquire().await?, id).await?;
    Ok(Tagged(account.version, account))
}

/// Change a service account
///
/// `active: false` revokes all its keys for good. Within 60 s no process lets them in.
#[utoipa::path(patch, path = "/v1/service-accounts/{id}", tag = "keys", request_body = ChangeServiceAccount,
    params(
        ("id" = UserId, Path, description = "The account's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you have seen"),
    ),
    responses(
        (status = 200, description = "The account", body = ServiceAccountView, headers(("ETag" = String))),
        (status = 404, description = "`service_account_not_found`", body = Problem),
        (status = 412, description = "`version_mismatch`: it was changed since", body = Problem),
        (status = 422, description = "`invalid_name`, `invalid_note`, `unknown_field`", body = Problem),
    ))]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
    IfMatch(seen): IfMatch,
    Json(asked): Json<ChangeServiceAccount>,
) -> ApiResult<Tagged<ServiceAccountView>> {
    let mut tx = state.db.begin().await?;
    let account = service_accounts::change(&mut tx, &caller, id, &asked, seen).await?;
    tx.commit().await?;
    state.identity.api_keys.forget_account(id);
    Ok(Tagged(account.version, account))
}

/// Make an API key
///
/// `key` is shown in this answer only. Send it as `Authorization: Bearer`.
#[utoipa::path(post, path = "/v1/service-accounts/{id}/keys", tag = "keys", request_body = NewApiKey,
    params(("id" = UserId, Path, description = "The account's id")),
    responses(
        (status = 201, description = "The key. In a replay `key` is null", body = NewApiKeyView, headers(("Location" = String))),
        (status = 404, description = "`service_account_not_found`", body = Problem),
        (status = 409, description = "`service_account_inactive`, `request_in_progress`", body = Problem),
        (status = 422, description = "`unknown_scope`, `invalid_expiry`, `invalid_address`, `invalid_limit`, `invalid_name`, \
            `idempotency_key_reused`", body = Problem),
    ))]
async fn create_key(caller: Caller, Path(id): Path<UserId>, mut once: Once<NewApiKey>) -> ApiResult<Response> {
    let made = api_keys::create(&mut once.tx, &caller, id, &once.body).await?;
    answer_made(once, made).await
}
