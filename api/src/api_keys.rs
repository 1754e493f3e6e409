//! API keys, as administrators see them. No API key opens these routes.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use secrecy::ExposeSecret;
use shared::identity::api_keys::{self, ApiKeyFilter, ApiKeyView, MadeKey, NewApiKeyView, RotateApiKey};
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::values::ApiKeyId;
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::error::{ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::idempotent::Once;
use crate::extract::json::{Listed, Path};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

pub fn routes() -> Routes {
    let access = Access::Needs(Permission::UsersWrite);
    let (read, write) = (Policy::read(access).no_key(), Policy::write(access).no_key());
    Routes::default()
        .on(routes!(list_keys), read)
        .on(routes!(get_key), read)
        .on(routes!(revoke), write)
        .on(routes!(rotate), write.takes_key())
}

/// List API keys
///
/// The newest first. The keys themselves are not stored.
#[utoipa::path(get, path = "/v1/api-keys", tag = "keys", params(ApiKeyFilter, Paging), responses(
    (status = 200, description = "A page of keys", body = List<ApiKeyView>),
    (status = 422, description = "`invalid_limit`, `invalid_cursor`, `unknown_field`", body = Problem),
))]
async fn list_keys(State(db): State<PgPool>, asked: Listed<ApiKeyFilter>) -> ApiResult<Answer<List<ApiKeyView>>> {
    Ok(Answer(api_keys::list(&mut *db.acquire().await?, &asked.filter, &asked.page).await?))
}

/// Read an API key
#[utoipa::path(get, path = "/v1/api-keys/{id}", tag = "keys",
    params(("id" = ApiKeyId, Path, description = "The key's id")),
    responses(
        (status = 200, description = "The key, without its secret", body = ApiKeyView, headers(("ETag" = String))),
        (status = 404, description = "`api_key_not_found`", body = Problem),
    ))]
async fn get_key(State(db): State<PgPool>, Path(id): Path<ApiKeyId>) -> ApiResult<Tagged<ApiKeyView>> {
    let key = api_keys::get(&mut *db.acquire().await?, id).await?;
    Ok(Tagged(key.version, key))
}

/// Revoke an API key
///
/// For good. Within 60 s no process lets it in. Repeating it changes nothing.
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "keys",
    params(
        ("id" = ApiKeyId, Path, description = "The key's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you have seen"),
    ),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 404, description = "`api_key_not_found`", body = Problem),
        (status = 412, description = "`version_mismatch`: it was changed since", body = Problem),
    ))]
async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ApiKeyId>,
    IfMatch(seen): IfMatch,
) -> ApiResult<StatusCode> {
    let mut tx = state.db.begin().await?;
    let prefix = api_keys::revoke(&mut tx, &caller, id, seen).await?;
    tx.commit().await?;
    state.identity.api_keys.forget_key(&prefix).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Rotate an API key
///
/// Makes a new key with the same account, name, scopes, ranges, limit and lifetime. The old one works until the end of the
/// overlap, so a program can change over without a refused request.
#[utoipa::path(post, path = "/v1/api-keys/{id}/rotate", tag = "keys", request_body = RotateApiKey,
    params(("id" = ApiKeyId, Path, description = "The id of the key to replace")),
    responses(
        (status = 201, description = "The new key. In a replay `key` is null", body = NewApiKeyView, headers(("Location" = String))),
        (status = 404, description = "`api_key_not_found`", body = Problem),
        (status = 409, description = "`key_not_active`: it is replaced, expired or revoked; `request_in_progress`", body = Problem),
        (status = 422, description = "`invalid_overlap`, `idempotency_key_reused`", body = Problem),
    ))]
async fn rotate(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ApiKeyId>,
    mut once: Once<RotateApiKey>,
) -> ApiResult<Response> {
    let (made, old) = api_keys::rotate(&mut once.tx, &caller, id, &once.body).await?;
    let answer = answer_made(once, made).await?;
    state.identity.api_keys.forget_key(&old).await;
    Ok(answer)
}

/// The answer with the key. What is stored for a replay has none.
pub async fn answer_made<T>(once: Once<T>, made: MadeKey) -> ApiResult<Response> {
    let location = format!("/v1/api-keys/{}", made.view.id);
    let stored = NewApiKeyView { view: made.view.clone(), key: None };
    let shown = NewApiKeyView { view: made.view, key: Some(made.text.expose_secret().to_owned()) };
    once.created_with_secret(location, &shown, &stored).await
}
