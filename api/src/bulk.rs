//! Dead jobs by their error, actions on many, and the search over everything; for staff.

use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use serde_json::Value;
use shared::error::{Error, Resource};
use shared::ops::bulk::{self, BulkPreview, BulkView, StartBulk};
use shared::ops::errors::{self, ErrorGroup};
use shared::ops::search::{self, Found, SearchAll};
use shared::page::{List, Paging};
use shared::principal::{Permission, ServiceAccount};
use shared::queue::Origin;
use shared::scope::Scope;
use sqlx::PgPool;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::idempotent::Once;
use crate::extract::json::{Listed, NoBody, NoFilter, Path, Query};
use crate::extract::principal::Caller;
use crate::extract::scope;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

pub fn routes() -> Routes {
    let read = Policy::read(Access::Needs(Permission::OpsRead)).scope(Scope::OpsRead);
    let write = Policy::write(Access::Needs(Permission::OpsWrite)).scope(Scope::OpsWrite).takes_key();
    Routes::default()
        .on(routes!(list_errors), read)
        .on(routes!(one_error), read)
        .on(routes!(start), write)
        .on(routes!(list), read)
        .on(routes!(get), read)
        .on(routes!(go_on), write)
        .on(routes!(stop), write)
        .on(routes!(find), read.no_key())
}

/// List the errors that jobs are dead of
///
/// What costs the most money first; at most 200.
#[utoipa::path(get, path = "/v1/ops/errors", tag = "operations", responses(
    (status = 200, description = "A group for each error", body = List<ErrorGroup>),
))]
async fn list_errors(State(db): State<PgPool>) -> ApiResult<Answer<List<ErrorGroup>>> {
    Ok(Answer(List { data: errors::list(&mut *db.acquire().await?).await?, next_cursor: None }))
}

/// Read an error that jobs are dead of
#[utoipa::path(get, path = "/v1/ops/errors/{fingerprint}", tag = "operations",
    params(("fingerprint" = String, Path, description = "`error_fingerprint` of a job")),
    responses(
        (status = 200, description = "The group; one for each kind of job", body = List<ErrorGroup>),
        (status = 404, description = "`job_not_found`: no job is dead of it", body = Problem),
    ))]
async fn one_error(State(db): State<PgPool>, Path(fingerprint): Path<String>) -> ApiResult<Answer<List<ErrorGroup>>> {
    let groups = errors::of_fingerprint(&mut *db.acquire().await?, &fingerprint).await?;
    if groups.is_empty() {
        return Err(Error::NotFound(Resource::Job).into());
    }
    Ok(Answer(List { data: groups, next_cursor: None }))
}

/// Act on many jobs or orders
///
/// With `dry_run` it only tells what it would do. Without, it starts, in steps that wait while the queues are behind. With
/// `canary` one job runs first, with one attempt, and the others follow only if it succeeds. Send `upto` and `expected` of
/// the preview: if the selection has changed since, nothing is done.
#[utoipa::path(post, path = "/v1/ops/bulk", tag = "operations", request_body = StartBulk,
    responses(
        (status = 200, description = "With `dry_run`: the preview", body = BulkPreview),
        (status = 202, description = "It has started", body = BulkView, headers(("Location" = String))),
        (status = 409, description = "`preview_stale`: `errors[0].preview` is the new one", body = Problem),
        (status = 422, description = "`missing_field`: `reason` is required for more than ten; `invalid_filter`; `nothing_selected`", body = Problem),
    ))]
async fn start(
    State(state): State<AppState>,
    caller: Caller,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Result<Response, Response> {
    let refused = ApiError::into_response;
    let request = scope::require(&state, &caller, request, scopes_to_start).await.map_err(refused)?;
    let once = Once::<StartBulk>::from_request(request, &state).await?;
    start_or_preview(&state, &caller, origin, once).await.map_err(refused)
}

/// Who cancels orders needs the scope for it, however many they are.
fn scopes_to_start(_: &ServiceAccount, body: &Value) -> Vec<Scope> {
    if body["action"] == "cancel_orders" { vec![Scope::OpsWrite, Scope::OrdersCancel] } else { vec![Scope::OpsWrite] }
}

async fn start_or_preview(
    state: &AppState,
    caller: &Caller,
    origin: Origin,
    mut once: Once<StartBulk>,
) -> ApiResult<Response> {
    if once.body.dry_run {
        let StartBulk { action, filter, upto, .. } = once.body.clone();
        let preview = bulk::preview(&mut once.tx, action, &filter, upto).await?;
        return Ok(Answer(preview).into_response());
    }
    let asked = once.body.clone();
    let (view, rings) = bulk::start(&mut once.tx, caller, &asked, &state.plan(origin)).await?;
    let answer = once.accepted(format!("/v1/ops/bulk/{}", view.id), &view).await?;
    state.doorbell.ring(rings);
    Ok(answer)
}

/// List actions on many
///
/// Newest first.
#[utoipa::path(get, path = "/v1/ops/bulk", tag = "operations", params(Paging), responses(
    (status = 200, description = "A page of actions", body = List<BulkView>),
    (status = 422, description = "`invalid_limit` or `invalid_cursor`", body = Problem),
))]
async fn list(State(db): State<PgPool>, asked: Listed<NoFilter>) -> ApiResult<Answer<List<BulkView>>> {
    Ok(Answer(bulk::list(&mut *db.acquire().await?, &asked.page).await?))
}

/// Read an action on many
#[utoipa::path(get, path = "/v1/ops/bulk/{id}", tag = "operations", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "How far it is", body = BulkView),
    (status = 404, description = "`bulk_not_found`", body = Problem),
))]
async fn get(State(db): State<PgPool>, Path(id): Path<Uuid>) -> ApiResult<Answer<BulkView>> {
    Ok(Answer(bulk::get(&mut *db.acquire().await?, id).await?))
}

/// Go on with an action on many
///
/// Although its canary failed, or after it was stopped.
#[utoipa::path(post, path = "/v1/ops/bulk/{id}/continue", tag = "operations", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The action, `running`; or as it is, if it was neither halted nor stopped", body = BulkView),
    (status = 404, description = "`bulk_not_found`", body = Problem),
))]
async fn go_on(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Extension(origin): Extension<Origin>,
    mut once: Once<NoBody>,
) -> ApiResult<Response> {
    let (view, rings) = bulk::go_on(&mut once.tx, &caller, id, &state.plan(origin)).await?;
    let answer = once.answer(StatusCode::OK, &view).await?;
    state.doorbell.ring(rings);
    Ok(answer)
}

/// Stop an action on many
///
/// It takes no further step. What was taken goes on. Asked again, nothing changes.
#[utoipa::path(post, path = "/v1/ops/bulk/{id}/stop", tag = "operations", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The action, `stopped`; or as it is, if it had ended", body = BulkView),
    (status = 404, description = "`bulk_not_found`", body = Problem),
))]
async fn stop(caller: Caller, Path(id): Path<Uuid>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let view = bulk::stop(&mut once.tx, &caller, id).await?;
    once.answer(StatusCode::OK, &view).await
}

/// Search for anything
///
/// An order's number, a tracking number, an id, the beginning of an e-mail address, a part of a name or a SKU, the id of a
/// request. At most five of each type.
#[utoipa::path(get, path = "/v1/search", tag = "operations", params(SearchAll), responses(
    (status = 200, description = "What was found", body = List<Found>),
    (status = 422, description = "`invalid_search`: at most 100 characters", body = Problem),
))]
async fn find(State(db): State<PgPool>, Query(asked): Query<SearchAll>) -> ApiResult<Answer<List<Found>>> {
    let found = search::find(&mut *db.acquire().await?, &asked.q).await?;
    Ok(Answer(List { data: found, next_cursor: None }))
}
