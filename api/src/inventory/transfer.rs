//! Transfers of stock between warehouses.

use axum::http::StatusCode;
use axum::response::Response;
use shared::inventory::transfer::{self, Transfer, Transferred};
use shared::values::InventoryId;

use crate::error::{ApiResult, Problem};
use crate::extract::idempotent::Once;
use crate::extract::json::Path;
use crate::extract::principal::Caller;

/// Move units to another warehouse
///
/// They leave and arrive in one transaction. Units that are reserved stay. A warehouse that has not stocked the product
/// yet begins to.
#[utoipa::path(
    post, path = "/v1/inventory/{id}/transfers", tag = "inventory",
    params(("id" = InventoryId, Path)), request_body = Transfer, responses(
    (status = 201, description = "The two movements that it became", body = Transferred),
    (status = 404, description = "`inventory_not_found`, `warehouse_not_found`", body = Problem),
    (status = 409, description = "`would_go_negative`: on hand would fall below reserved", body = Problem),
    (status = 422, description = "`same_warehouse`, `invalid_quantity`", body = Problem),
))]
pub(super) async fn transfer(
    caller: Caller,
    Path(id): Path<InventoryId>,
    mut once: Once<Transfer>,
) -> ApiResult<Response> {
    let transferred = transfer::transfer(&mut once.tx, &caller, id, &once.body).await?;
    once.answer(StatusCode::CREATED, &transferred).await
}
