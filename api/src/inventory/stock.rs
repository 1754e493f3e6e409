//! Rows of stock: which product lies in which warehouse, and how much of it.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use shared::inventory::list::{self as lists, StockFilter};
use shared::inventory::past::{self, StockHistory};
use shared::inventory::{self, NewStock, OnHand, ReorderSettings, StockView};
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::product_cache::Cache;
use shared::values::{InventoryId, ProductId};
use sqlx::PgPool;

use crate::error::{ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::idempotent::Once;
use crate::extract::json::{Json, Listed, NoFilter, Path, Query};
use crate::extract::principal::Caller;

/// List stock
#[utoipa::path(
    get, path = "/v1/inventory", tag = "inventory", params(StockFilter, Paging), responses(
    (status = 200, description = "A page of stock, oldest rows first", body = List<StockView>),
    (status = 422, description = "`invalid_limit`, `invalid_cursor`, `too_far_back`, or a filter is not right", body = Problem),
))]
pub(super) async fn list(State(db): State<PgPool>, list: Listed<StockFilter>) -> ApiResult<Answer<List<StockView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(lists::list(&mut conn, &list.filter, &list.page).await?))
}

/// List stock at or below its reorder level, worst first
#[utoipa::path(
    get, path = "/v1/inventory/low-stock", tag = "inventory", params(Paging), responses(
    (status = 200, description = "A page of rows; first what is farthest below its reorder level", body = List<StockView>),
    (status = 422, description = "`invalid_limit` or `invalid_cursor`", body = Problem),
))]
pub(super) async fn low_stock(State(db): State<PgPool>, list: Listed<NoFilter>) -> ApiResult<Answer<List<StockView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(lists::list_low(&mut conn, &list.page).await?))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfProduct {
    product_id: ProductId,
}

/// Read how much of a product is available
///
/// Anybody sees `available`; staff also see what is on hand, what is reserved, and where. For others
/// than staff and keys the answer may be up to 2 s old. Placing an order always checks the present stock.
#[utoipa::path(get, path = "/v1/inventory/onhand", tag = "inventory", params(OfProduct), responses(
    (status = 200, description = "What can be bought now, over all active warehouses", body = OnHand),
    (status = 404, description = "`product_not_found`", body = Problem),
    (status = 422, description = "`product_id` is missing or is not an id", body = Problem),
))]
pub(super) async fn on_hand(
    State(cache): State<Arc<Cache>>,
    caller: Option<Caller>,
    Query(of): Query<OfProduct>,
) -> ApiResult<Answer<OnHand>> {
    let is_staff = caller.as_ref().is_some_and(|caller| caller.may(Permission::InventoryRead));
    Ok(Answer(cache.product(of.product_id, caller.as_deref()).await?.on_hand(is_staff)))
}

/// Read a row of stock
#[utoipa::path(
    get, path = "/v1/inventory/{id}", tag = "inventory", params(("id" = InventoryId, Path)), responses(
    (status = 200, description = "The row; `ETag` is the version of its reorder settings", body = StockView, headers(("ETag" = String))),
    (status = 404, description = "`inventory_not_found`", body = Problem),
))]
pub(super) async fn one(State(db): State<PgPool>, Path(id): Path<InventoryId>) -> ApiResult<Tagged<StockView>> {
    let mut conn = db.acquire().await?;
    let stock = inventory::find(&mut conn, id).await?;
    Ok(Tagged(stock.version, stock))
}

/// Read how a row of stock changed
///
/// For a chart: the balance at the end of each of the last 30 days, and after each movement of today.
#[utoipa::path(
    get, path = "/v1/inventory/{id}/history", tag = "inventory", params(("id" = InventoryId, Path)), responses(
    (status = 200, description = "The balances", body = StockHistory),
    (status = 404, description = "`inventory_not_found`", body = Problem),
))]
pub(super) async fn history(State(db): State<PgPool>, Path(id): Path<InventoryId>) -> ApiResult<Answer<StockHistory>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(past::history(&mut conn, id).await?))
}

/// Begin to stock a product in a warehouse
#[utoipa::path(
    post, path = "/v1/inventory", tag = "inventory", request_body = NewStock, responses(
    (status = 201, description = "The row; `Location` says where it is", body = StockView, headers(("Location" = String), ("ETag" = String))),
    (status = 404, description = "`product_not_found` or `warehouse_not_found`", body = Problem),
    (status = 409, description = "`inventory_exists`: adjust the row that is there", body = Problem),
))]
pub(super) async fn create(caller: Caller, mut once: Once<NewStock>) -> ApiResult<Response> {
    let stock = inventory::create(&mut once.tx, &caller, &once.body).await?;
    once.created(format!("/v1/inventory/{}", stock.id), stock.version, &stock).await
}

/// Change the reorder settings
#[utoipa::path(
    patch, path = "/v1/inventory/{id}", tag = "inventory",
    params(("id" = InventoryId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = ReorderSettings, responses(
    (status = 200, description = "The row as it is now", body = StockView, headers(("ETag" = String))),
    (status = 404, description = "`inventory_not_found`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
))]
pub(super) async fn update(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<InventoryId>,
    IfMatch(seen): IfMatch,
    Json(body): Json<ReorderSettings>,
) -> ApiResult<Tagged<StockView>> {
    let mut tx = db.begin().await?;
    let stock = inventory::update_settings(&mut tx, &caller, id, seen, &body).await?;
    tx.commit().await?;
    Ok(Tagged(stock.version, stock))
}
