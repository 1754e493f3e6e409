//! Stock: what each warehouse has of each product, and what of it is reserved. Alone writes `inventory`,
//! `reservations`, `reservation_lines`, `stock_movements`, `stock_checkpoints`, `stock_checkpointed` and `stock_closings`,
//! except that placing reserves the stock of a whole batch of orders in its own statement (`orders::placing`).
//!
//! Everything else locks rows with `level::lock` and changes them with `ledger::write`. So all locks are taken in one
//! order, and no unit moves without a row in the ledger.

pub mod adjust;
pub mod bulk;
pub(crate) mod expire;
pub mod held;
pub mod ledger;
pub(crate) mod level;
pub mod list;
pub(crate) mod news;
pub mod past;
pub mod reserve;
pub mod source;
pub mod transfer;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;

use self::ledger::Reason;
use self::level::Pair;
use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::platform::db;
use crate::principal::Principal;
use crate::values::{InventoryId, ProductId, Units, UserId, WarehouseId};

/// What a warehouse has of a product.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d20", "product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10", "sku": "MUG-01",
    "warehouse_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05", "on_hand": 40, "reserved": 3, "available": 37,
    "reorder_level": 10, "reorder_quantity": 50, "restocked_at": "2026-11-21T07:00:00Z", "updated_at": "2026-11-21T07:05:00Z"
}))]
pub struct StockView {
    pub id: InventoryId,
    pub product_id: ProductId,
    pub sku: String,
    pub warehouse_id: WarehouseId,
    pub on_hand: i32,
    /// Reserved for orders and by hand
    pub reserved: i32,
    /// `on_hand - reserved`
    pub available: i32,
    /// The stock is low when this many or fewer are available
    pub reorder_level: i32,
    pub reorder_quantity: i32,
    /// When units were last received or returned
    pub restocked_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
    #[serde(skip)]
    pub version: i32,
}

/// A product that a warehouse starts to stock.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10", "warehouse_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05", "on_hand": 40,
    "reorder_level": 10, "reorder_quantity": 50
}))]
pub struct NewStock {
    pub product_id: ProductId,
    pub warehouse_id: WarehouseId,
    pub on_hand: Units,
    pub reorder_level: Option<Units>,
    pub reorder_quantity: Option<Units>,
}

/// When to reorder, and how many. A field that is not given stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reorder_level": 10, "reorder_quantity": 50}))]
pub struct ReorderSettings {
    pub reorder_level: Option<Units>,
    pub reorder_quantity: Option<Units>,
}

/// How much there is of a product. Only staff see each warehouse, and what is reserved.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10", "available": 37}))]
pub struct OnHand {
    pub product_id: ProductId,
    /// What can be bought now: over all active warehouses
    pub available: i64,
    /// Staff only: over all warehouses
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_hand: Option<i64>,
    /// Staff only: over all warehouses
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<i64>,
    /// Staff only: the warehouses, by priority
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warehouses: Option<Vec<OnShelf>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnShelf {
    pub warehouse_id: WarehouseId,
    pub code: String,
    /// The stock of an inactive warehouse is not sold
    pub active: bool,
    pub on_hand: i32,
    pub reserved: i32,
    pub available: i32,
}

/// Starts to stock products in warehouses. Rows that exist stay as they are; returns the ids of the new ones.
pub async fn open(conn: &mut PgConnection, actor: Option<UserId>, rows: &[NewStock]) -> Result<Vec<InventoryId>> {
    let (ids, pairs): (Vec<_>, Vec<_>) = open_untold(conn, actor, rows).await?.into_iter().unzip();
    news::opened(conn, &pairs, Reason::Received).await?;
    Ok(ids)
}

/// The same, where the caller changes the new rows at once and tells the feed of both together.
async fn open_untold(
    conn: &mut PgConnection,
    actor: Option<UserId>,
    rows: &[NewStock],
) -> Result<Vec<(InventoryId, Pair)>> {
    let units = |pick: fn(&NewStock) -> Option<Units>| -> Vec<i32> {
        rows.iter().map(|row| pick(row).map_or(0, Units::get)).collect()
    };
    let opened = sqlx::query!(
        r#"with opened as (
               insert into inventory (product_id, warehouse_id, on_hand, reorder_level, reorder_quantity, restocked_at)
               select product_id, warehouse_id, on_hand, reorder_level, reorder_quantity,
                      case when on_hand > 0 then clock_timestamp() end
                 from unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::int[])
                      as asked (product_id, warehouse_id, on_hand, reorder_level, reorder_quantity)
                order by product_id, warehouse_id
               on conflict (product_id, warehouse_id) do nothing
               returning id, product_id, warehouse_id, on_hand),
           movement as (
               insert into stock_movements (product_id, warehouse_id, on_hand_delta, reason, actor_id)
               select product_id, warehouse_id, on_hand, 'received', $6 from opened where on_hand > 0)
           select id as "id: InventoryId", product_id as "product_id: ProductId",
                  warehouse_id as "warehouse_id: WarehouseId" from opened"#,
        rows.iter().map(|row| row.product_id).collect::<Vec<_>>() as Vec<ProductId>,
        rows.iter().map(|row| row.warehouse_id).collect::<Vec<_>>() as Vec<WarehouseId>,
        &units(|row| Some(row.on_hand)),
        &units(|row| row.reorder_level),
        &units(|row| row.reorder_quantity),
        actor as Option<UserId>,
    )
    .fetch_all(conn)
    .await
    .map_err(|error| match db::broken_constraint(&error) {
        Some("inventory_product_id_fkey") => Error::NotFound(Resource::Product),
        Some("inventory_warehouse_id_fkey") => Error::NotFound(Resource::Warehouse),
        _ => Error::from(error),
    })?;
    Ok(opened.into_iter().map(|row| (row.id, (row.product_id, row.warehouse_id))).collect())
}

/// Starts to stock one product in one warehouse.
pub async fn create(conn: &mut PgConnection, principal: &Principal, row: &NewStock) -> Result<StockView> {
    let [id] = open(conn, principal.user_id(), std::slice::from_ref(row)).await?[..] else {
        return Err(Error::InventoryExists);
    };
    let data = json!({ "product_id": row.product_id, "warehouse_id": row.warehouse_id, "on_hand": row.on_hand });
    actions::record(conn, principal, Action::new("stock.created", "stock", id).data(data)).await?;
    find(conn, id).await
}

pub async fn find(conn: &mut PgConnection, id: InventoryId) -> Result<StockView> {
    sqlx::query_as!(
        StockView,
        r#"select i.id, i.product_id, p.sku, i.warehouse_id, i.on_hand, i.reserved,
                  i.on_hand - i.reserved as "available!", i.reorder_level, i.reorder_quantity, i.restocked_at,
                  i.updated_at, i.version
             from inventory i join products p on p.id = i.product_id
            where i.id = $1"#,
        id as InventoryId,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::Inventory))
}

/// Changes when to reorder, if the row still has the version that the caller saw.
pub async fn update_settings(
    conn: &mut PgConnection,
    principal: &Principal,
    id: InventoryId,
    version: Option<i32>,
    settings: &ReorderSettings,
) -> Result<StockView> {
    let updated = sqlx::query!(
        r#"update inventory i
              set reorder_level = coalesce($3, i.reorder_level), reorder_quantity = coalesce($4, i.reorder_quantity),
                  version = i.version + 1, updated_at = statement_timestamp()
             from (select id, reorder_level from inventory where id = $1 for no key update) old
            where i.id = old.id and ($2::int is null or i.version = $2)
           returning i.product_id as "product_id: ProductId", i.warehouse_id as "warehouse_id: WarehouseId",
                     i.on_hand - i.reserved > old.reorder_level and i.shortfall is not null as "is_low_now!""#,
        id as InventoryId,
        version,
        settings.reorder_level.map(Units::get),
        settings.reorder_quantity.map(Units::get),
    )
    .fetch_optional(&mut *conn)
    .await?;
    let stock = find(conn, id).await?;
    let updated = updated.ok_or(Error::VersionMismatch)?;
    // What is available did not change, but it is low from now on, and nobody has been told.
    if updated.is_low_now {
        news::became_low(conn, &[(updated.product_id, updated.warehouse_id)]).await?;
    }
    let action = Action::new("stock.settings_changed", "stock", id).data(json!(settings));
    actions::record(conn, principal, action).await?;
    Ok(stock)
}
