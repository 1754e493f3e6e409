//! Orders over HTTP: placing, reading, moving them.

mod place;

use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use shared::ops::taken::{self, Taken};
use shared::orders::behind::{self, ChargeView, OrderAllocation};
use shared::orders::cancel::{self, Cancel};
use shared::orders::manual::{self, Following, SetStatus};
use shared::orders::note::{self, NewNote};
use shared::orders::read::{OrderEvent, OrderFilter};
use shared::orders::{OrderView, past, read};
use shared::page::{List, Paging};
use shared::principal::{Permission, ServiceAccount};
use shared::queue::Origin;
use shared::scope::Scope;
use shared::values::OrderId;
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::error::{ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::idempotent::Once;
use crate::extract::json::{self, Listed, NoFilter, Path, Query};
use crate::extract::principal::Caller;
use crate::extract::scope;
use crate::policy::{Access, KeyAccess, Policy};
use crate::router::Routes;
use crate::state::AppState;

/// Customers may cancel their own orders without a permission; `shared` decides whose order it is.
pub fn routes() -> Routes {
    let read = Policy::read(Access::SignedIn).scope(Scope::OrdersRead);
    let of_all = Policy::read(Access::Needs(Permission::OrdersRead)).scope(Scope::OrdersRead).about_order();
    let by_staff = Policy::write(Access::Needs(Permission::OrdersWrite)).scope(Scope::OrdersWrite).about_order();
    let cancel_only = KeyAccess::WithOrInPart(Scope::OrdersWrite, Scope::OrdersCancel);
    Routes::default()
        .on(routes!(list), read)
        .on(routes!(place::place), Policy::write(Access::SignedIn).scope(Scope::OrdersWrite).takes_key())
        .on(routes!(get), read.about_order())
        .on(routes!(events), read.about_order())
        .on(routes!(allocation), of_all)
        .on(routes!(charges), of_all)
        .on(routes!(add_note), by_staff.takes_key())
        .on(routes!(slip_printed), by_staff.takes_key())
        .on(routes!(take), by_staff.takes_key())
        .on(routes!(put_back), by_staff)
        .on(
            routes!(cancel),
            Policy::write(Access::SignedIn).scope(Scope::OrdersCancel).stales_products().about_order().takes_key(),
        )
        .on(routes!(set_status), by_staff.stales_products().keys(cancel_only))
}

/// List orders
///
/// A customer's own; for staff all, with their customers. Newest first. Most filters have no index, so a page of staff looks
/// at 20,000 orders at most: it may be shorter than its limit and still have a `next_cursor`.
#[utoipa::path(get, path = "/v1/orders", tag = "orders", params(OrderFilter, Paging),
    responses((status = 200, description = "A page of orders", body = List<OrderView>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    asked: Listed<OrderFilter>,
) -> ApiResult<impl IntoResponse> {
    let mut conn = state.db.acquire().await?;
    let orders = read::list(&mut conn, &caller, asked.filter, asked.page).await?;
    orders.data.iter().for_each(|order| show(&state, order));
    Ok(Json(orders))
}

/// A client that has seen an order must not then see its products as they were before it.
fn show(state: &AppState, order: &OrderView) {
    state.cache.observed_change(order.updated_at, order.items.iter().map(|item| item.product_id));
}

/// At which moment an order is looked at.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AsOf {
    /// As it was at this time, as far as its events tell; without, as it is now
    as_of: Option<DateTime<Utc>>,
}

/// Read an order
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders",
    params(("id" = uuid::Uuid, Path), AsOf),
    responses(
        (status = 200, description = "The order", body = OrderView, headers(("ETag" = String))),
        (status = 404, description = "`order_not_found`: there is none with this id, it is another's, or it was not placed then", body = Problem),
        (status = 410, description = "`order_archived`, with `as_of`: only the archive has its timeline; `detail` names the part", body = Problem),
    ))]
async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<OrderId>,
    Query(asked): Query<AsOf>,
) -> ApiResult<Tagged<OrderView>> {
    let mut conn = state.db.acquire().await?;
    let order = match asked.as_of {
        Some(at) => past::get(&mut conn, &caller, id, at).await?,
        None => read::get(&mut conn, &caller, id).await?,
    };
    show(&state, &order);
    Ok(Tagged(order.version, order))
}

/// Read where an order's stock comes from
#[utoipa::path(get, path = "/v1/orders/{id}/allocation", tag = "orders",
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "Its reservation, and why these warehouses", body = OrderAllocation),
        (status = 404, description = "`order_not_found`", body = Problem),
    ))]
async fn allocation(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<OrderId>,
) -> ApiResult<Json<OrderAllocation>> {
    Ok(Json(behind::allocation(&mut *db.acquire().await?, &caller, id).await?))
}

/// List what was asked of the payment provider for an order
#[utoipa::path(get, path = "/v1/orders/{id}/charges", tag = "orders",
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "Its charges, the oldest first", body = List<ChargeView>),
        (status = 404, description = "`order_not_found`", body = Problem),
    ))]
async fn charges(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<OrderId>,
) -> ApiResult<Json<List<ChargeView>>> {
    Ok(Json(List { data: behind::charges(&mut *db.acquire().await?, &caller, id).await?, next_cursor: None }))
}

/// Read an order's timeline
///
/// Everything that happened to the order, oldest first.
#[utoipa::path(get, path = "/v1/orders/{id}/events", tag = "orders",
    params(("id" = uuid::Uuid, Path), Paging),
    responses(
        (status = 200, description = "The timeline, ascending", body = List<OrderEvent>),
        (status = 404, description = "`order_not_found`", body = Problem),
        (status = 410, description = "`order_archived`: only the archive has its timeline; `detail` names the part", body = Problem),
    ))]
async fn events(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<OrderId>,
    asked: Listed<NoFilter>,
) -> ApiResult<impl IntoResponse> {
    let mut conn = db.acquire().await?;
    Ok(Json(read::events(&mut conn, &caller, id, asked.page).await?))
}

/// Write a note into an order's timeline
///
/// Staff read it there; the customer sees that there is a note, and not its text.
#[utoipa::path(post, path = "/v1/orders/{id}/notes", tag = "orders",
    params(("id" = uuid::Uuid, Path)), request_body = NewNote,
    responses(
        (status = 201, description = "The event on the timeline", body = OrderEvent),
        (status = 404, description = "`order_not_found`", body = Problem),
        (status = 410, description = "`order_archived`: only the archive has its timeline; `detail` names the part", body = Problem),
        (status = 422, description = "`invalid_note`: it has 1 to 2,000 characters", body = Problem),
    ))]
async fn add_note(caller: Caller, Path(id): Path<OrderId>, mut once: Once<NewNote>) -> ApiResult<Response> {
    let event = note::write(&mut once.tx, &caller, id, &once.body).await?;
    once.answer(StatusCode::CREATED, &event).await
}

/// Say that an order's packing slips were printed
///
/// Its timeline then shows when, and by whom.
#[utoipa::path(post, path = "/v1/orders/{id}/slip-printed", tag = "orders",
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 201, description = "The event on the timeline", body = OrderEvent),
        (status = 404, description = "`order_not_found`", body = Problem),
        (status = 410, description = "`order_archived`: only the archive has its timeline; `detail` names the part", body = Problem),
    ))]
async fn slip_printed(caller: Caller, Path(id): Path<OrderId>, mut once: Once<json::NoBody>) -> ApiResult<Response> {
    let event = note::slip_printed(&mut once.tx, &caller, id).await?;
    once.answer(StatusCode::CREATED, &event).await
}

/// Take an order that waits for a person
///
/// Puts one's name on it for eight hours, so that two people do not do the same. Taking it again changes nothing.
#[utoipa::path(post, path = "/v1/orders/{id}/take", tag = "orders",
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "Who looks after it", body = Taken),
        (status = 404, description = "`order_not_found`", body = Problem),
        (status = 409, description = "`order_taken`: somebody else looks after it", body = Problem),
    ))]
async fn take(caller: Caller, Path(id): Path<OrderId>, mut once: Once<json::NoBody>) -> ApiResult<Response> {
    let taken = taken::take(&mut once.tx, &caller, id).await?;
    once.answer(StatusCode::OK, &taken).await
}

/// Put an order back that somebody has taken
///
/// Also one that somebody else has taken. If nobody has, it changes nothing.
#[utoipa::path(delete, path = "/v1/orders/{id}/take", tag = "orders",
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 204, description = "Nobody looks after it now"),
        (status = 404, description = "`order_not_found`", body = Problem),
    ))]
async fn put_back(State(db): State<PgPool>, caller: Caller, Path(id): Path<OrderId>) -> ApiResult<StatusCode> {
    let mut tx = db.begin().await?;
    taken::put_back(&mut tx, &caller, id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Cancel an order
///
/// A worker then voids or refunds the charge, releases the stock, and sets the order to `cancelled`. Asking again
/// changes nothing.
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", tag = "orders",
    params(("id" = uuid::Uuid, Path)), request_body = Cancel,
    responses(
        (status = 202, description = "The order, `cancelling`; or as it is, if it was cancelled before", body = OrderView),
        (status = 404, description = "`order_not_found`: there is none with this id, or it is another's", body = Problem),
        (status = 409, description = "`order_not_cancellable`: it is being shipped", body = Problem),
    ))]
async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<OrderId>,
    Extension(origin): Extension<Origin>,
    mut once: Once<Cancel>,
) -> ApiResult<Response> {
    let plan = state.plan(origin);
    let (order, ring) = cancel::cancel(&mut once.tx, &caller, id, &once.body, &plan).await?;
    let answer = once.answer(StatusCode::ACCEPTED, &order).await?;
    state.doorbell.ring(ring);
    Ok(answer)
}

/// Move an order by hand
///
/// Only along pending → processing → paid → shipped → delivered, with the same effects as when a worker does it: `paid`
/// writes a manual charge and starts shipping; `shipped` takes the stock off hand. Until it is shipped, `cancelling` (or
/// `cancelled`) has a worker cancel the order.
#[utoipa::path(patch, path = "/v1/orders/{id}/status", tag = "orders",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = SetStatus,
    responses(
        (status = 200, description = "The order", body = OrderView, headers(("ETag" = String))),
        (status = 404, description = "`order_not_found`", body = Problem),
        (status = 409, description = "`invalid_transition`: `errors[0].allowed` has the states it may move to; \
            `payment_in_progress`: the provider is being asked; `order_not_cancellable`: it is being shipped", body = Problem),
        (status = 412, description = "`version_mismatch`: it was changed since", body = Problem),
    ))]
async fn set_status(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<OrderId>,
    IfMatch(seen): IfMatch,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> ApiResult<Tagged<OrderView>> {
    let request = scope::require(&state, &caller, request, scopes_to_set).await?;
    let json::Json(asked) = json::Json::<SetStatus>::from_request(request, &state).await?;
    let following = Following { plan: state.plan(origin), delivery_delay: state.settings.jobs.delivery_delay };
    let mut tx = state.db.begin().await?;
    let (order, rings) = manual::set_status(&mut tx, &caller, id, seen, asked.status, &following).await?;
    tx.commit().await?;
    state.doorbell.ring(rings);
    Ok(Tagged(order.version, order))
}

/// `orders:cancel` alone may cancel.
fn scopes_to_set(key: &ServiceAccount, body: &Value) -> Vec<Scope> {
    let cancels = matches!(body["status"].as_str(), Some("cancelling" | "cancelled"));
    if cancels && !key.scopes.contain(Scope::OrdersWrite) {
        vec![Scope::OrdersCancel]
    } else {
        vec![Scope::OrdersWrite]
    }
}
