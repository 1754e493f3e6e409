//! Adjustments of stock by hand, and the ledger of all movements.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use shared::inventory::adjust::{self, Adjust, Adjustment};
use shared::inventory::ledger::{self, MovementFilter, MovementView};
use shared::page::{List, Paging};
use shared::values::InventoryId;
use sqlx::PgPool;

use crate::error::{ApiResult, Problem};
use crate::extract::idempotent::Once;
use crate::extract::json::{Listed, Path};
use crate::extract::principal::Caller;

/// Adjust stock: units that arrived, broke, were found or went missing
#[utoipa::path(
    post, path = "/v1/inventory/{id}/adjustments", tag = "inventory",
    params(("id" = InventoryId, Path)), request_body = Adjust, responses(
    (status = 201, description = "The movement that it became", body = Adjustment),
    (status = 404, description = "`inventory_not_found`", body = Problem),
    (status = 409, description = "`would_go_negative`: on hand would fall below reserved", body = Problem),
    (status = 422, description = "`invalid_delta`: it is 0 or too large", body = Problem),
))]
pub(super) async fn adjust(caller: Caller, Path(id): Path<InventoryId>, mut once: Once<Adjust>) -> ApiResult<Response> {
    let adjustment = adjust::adjust(&mut once.tx, &caller, id, &once.body).await?;
    once.answer(StatusCode::CREATED, &adjustment).await
}

/// List the ledger: every change of stock
#[utoipa::path(
    get, path = "/v1/inventory/movements", tag = "inventory",
    params(MovementFilter, Paging), responses(
    (status = 200, description = "A page of movements, newest first", body = List<MovementView>),
    (status = 422, description = "`invalid_limit`, `invalid_cursor`, or a filter is not right", body = Problem),
))]
pub(super) async fn movements(
    State(db): State<PgPool>,
    list: Listed<MovementFilter>,
) -> ApiResult<Answer<List<MovementView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(ledger::list(&mut conn, &list.filter, &list.page).await?))
}
