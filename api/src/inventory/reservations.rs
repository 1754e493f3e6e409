//! Reservations made by hand: holding stock, releasing it, shipping it.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use shared::error::Error;
use shared::inventory::held::{self, HeldFilter, HeldReservation};
use shared::inventory::reserve::{self, ReservationRef, ReservationView, Reserve};
use shared::orders::reap;
use shared::page::{List, Paging};
use shared::values::ReservationId;

use crate::error::{ApiResult, Problem};
use crate::extract::idempotent::{self, Once};
use crate::extract::json::{Listed, Path};
use crate::extract::principal::Caller;
use crate::state::AppState;

/// Reserve stock by hand: every line, or nothing
///
/// A line without `warehouse_id` comes from the first active warehouse by priority that has every line, else whole
/// from the first that has it, else from several.
#[utoipa::path(
    post, path = "/v1/inventory/reserve", tag = "inventory", request_body = Reserve, responses(
    (status = 201, description = "The reservation, `held`; `Location` says where it is", body = ReservationView, headers(("Location" = String))),
    (status = 409, description = "`insufficient_stock`: for each short line `requested` and `available`", body = Problem),
    (status = 422, description = "`product_not_found`, `warehouse_not_found`, `invalid_quantity`, `invalid_ttl`, \
        `invalid_items`: not 1 to 100 lines", body = Problem),
))]
pub(super) async fn reserve(
    State(state): State<AppState>,
    caller: Caller,
    mut once: Once<Reserve>,
) -> Result<Response, Response> {
    let ttl = state.settings.reservation_ttl;
    let mut reserved = reserve::reserve(&mut once.tx, &caller, &once.body, ttl).await;
    if let Err(Error::InsufficientStock(short)) = &reserved {
        // The transaction ends first: freeing stock needs locks that come before those on stock, and a connection.
        once = once.again(&state.db, reap::free_overdue(&state.db, short)).await?;
        reserved = reserve::reserve(&mut once.tx, &caller, &once.body, ttl).await;
    }
    let reservation = reserved.map_err(idempotent::failed)?;
    let location = format!("/v1/inventory/reservations/{}", reservation.id);
    once.begun(location, &reservation).await.map_err(IntoResponse::into_response)
}

/// A reservation, an order's or one made by hand
#[utoipa::path(
    get, path = "/v1/inventory/reservations/{id}", tag = "inventory",
    params(("id" = ReservationId, Path)), responses(
    (status = 200, description = "The reservation", body = ReservationView),
    (status = 404, description = "`reservation_not_found`", body = Problem),
))]
pub(super) async fn reservation(
    State(state): State<AppState>,
    Path(id): Path<ReservationId>,
) -> ApiResult<Answer<ReservationView>> {
    let mut conn = state.db.acquire().await?;
    let reservation = reserve::find(&mut conn, id).await?;
    state.cache.observed_change(reservation.updated_at, reservation.items.iter().map(|item| item.product_id));
    Ok(Answer(reservation))
}

/// List live reservations
///
/// Stock that is held for unpaid orders or by hand, with the order's number; what expires first comes first.
#[utoipa::path(
    get, path = "/v1/inventory/reservations", tag = "inventory", params(HeldFilter, Paging), responses(
    (status = 200, description = "A page of reservations", body = List<HeldReservation>),
    (status = 422, description = "`invalid_limit`, `invalid_cursor`, or a filter is not right", body = Problem),
))]
pub(super) async fn live(
    State(state): State<AppState>,
    asked: Listed<HeldFilter>,
) -> ApiResult<Answer<List<HeldReservation>>> {
    let mut conn = state.db.acquire().await?;
    Ok(Answer(held::list(&mut conn, &asked.filter, &asked.page).await?))
}

/// Release a reservation made by hand
#[utoipa::path(
    post, path = "/v1/inventory/release", tag = "inventory", request_body = ReservationRef, responses(
    (status = 200, description = "The reservation, `released`", body = ReservationView),
    (status = 404, description = "`reservation_not_found`", body = Problem),
    (status = 409, description = "`reservation_not_held`, or `reservation_belongs_to_order`: act on the order", body = Problem),
))]
pub(super) async fn release(caller: Caller, mut once: Once<ReservationRef>) -> ApiResult<Response> {
    let reservation = reserve::release(&mut once.tx, &caller, once.body.reservation_id).await?;
    once.answer(StatusCode::OK, &reservation).await
}

/// Ship a reservation made by hand
#[utoipa::path(
    post, path = "/v1/inventory/ship", tag = "inventory", request_body = ReservationRef, responses(
    (status = 200, description = "The reservation, `shipped`; on hand and reserved fell together", body = ReservationView),
    (status = 404, description = "`reservation_not_found`", body = Problem),
    (status = 409, description = "`reservation_not_held`, or `reservation_belongs_to_order`: act on the order", body = Problem),
))]
pub(super) async fn ship(caller: Caller, mut once: Once<ReservationRef>) -> ApiResult<Response> {
    let reservation = reserve::ship(&mut once.tx, &caller, once.body.reservation_id).await?;
    once.answer(StatusCode::OK, &reservation).await
}
