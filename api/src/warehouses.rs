//! Warehouses.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::scope::Scope;
use shared::values::WarehouseId;
use shared::warehouses::{self, ChangeWarehouse, NewWarehouse, WarehouseView};
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::error::{ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::idempotent::Once;
use crate::extract::json::{Json, Listed, NoFilter, Path};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;

pub fn routes() -> Routes {
    let read = Policy::read(Access::Needs(Permission::InventoryRead)).scope(Scope::InventoryRead);
    let write = Policy::write(Access::Needs(Permission::InventoryWrite)).scope(Scope::InventoryWrite).stales_products();
    Routes::default()
        .on(routes!(warehouses), read)
        .on(routes!(create_warehouse), write.takes_key())
        .on(routes!(warehouse), read)
        .on(routes!(change_warehouse), write)
}

/// List warehouses
#[utoipa::path(get, path = "/v1/warehouses", tag = "inventory", params(Paging), responses(
    (status = 200, description = "A page of warehouses, oldest first", body = List<WarehouseView>),
    (status = 422, description = "`invalid_limit` or `invalid_cursor`", body = Problem),
))]
async fn warehouses(State(db): State<PgPool>, list: Listed<NoFilter>) -> ApiResult<Answer<List<WarehouseView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(warehouses::list(&mut conn, &list.page).await?))
}

/// Read a warehouse
#[utoipa::path(get, path = "/v1/warehouses/{id}", tag = "inventory", params(("id" = WarehouseId, Path)), responses(
    (status = 200, description = "The warehouse, its version in `ETag`", body = WarehouseView, headers(("ETag" = String))),
    (status = 404, description = "`warehouse_not_found`", body = Problem),
))]
async fn warehouse(State(db): State<PgPool>, Path(id): Path<WarehouseId>) -> ApiResult<Tagged<WarehouseView>> {
    let mut conn = db.acquire().await?;
    let warehouse = warehouses::get(&mut conn, id).await?;
    Ok(Tagged(warehouse.version, warehouse))
}

/// Add a warehouse
#[utoipa::path(post, path = "/v1/warehouses", tag = "inventory", request_body = NewWarehouse, responses(
    (status = 201, description = "The warehouse; `Location` says where it is", body = WarehouseView, headers(("Location" = String), ("ETag" = String))),
    (status = 409, description = "`warehouse_code_taken`", body = Problem),
))]
async fn create_warehouse(caller: Caller, mut once: Once<NewWarehouse>) -> ApiResult<Response> {
    let warehouse = warehouses::create(&mut once.tx, &caller, &once.body).await?;
    once.created(format!("/v1/warehouses/{}", warehouse.id), warehouse.version, &warehouse).await
}

/// Change a warehouse
#[utoipa::path(
    patch, path = "/v1/warehouses/{id}", tag = "inventory",
    params(("id" = WarehouseId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = ChangeWarehouse, responses(
    (status = 200, description = "The warehouse as it is now", body = WarehouseView, headers(("ETag" = String))),
    (status = 404, description = "`warehouse_not_found`", body = Problem),
    (status = 409, description = "`warehouse_code_taken`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
))]
async fn change_warehouse(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<WarehouseId>,
    IfMatch(seen): IfMatch,
    Json(body): Json<ChangeWarehouse>,
) -> ApiResult<Tagged<WarehouseView>> {
    let mut tx = db.begin().await?;
    let warehouse = warehouses::change(&mut tx, &caller, id, seen, &body).await?;
    tx.commit().await?;
    Ok(Tagged(warehouse.version, warehouse))
}
