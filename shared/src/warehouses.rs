//! Warehouses, which hold the stock. Alone writes `warehouses`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::page::{List, Page};
use crate::platform::db::{self, CustomPlan};
use crate::principal::Principal;
use crate::values::whole_number::whole_i32;
use crate::values::{Name, WarehouseCode, WarehouseId};

/// Leaves room for warehouses with a higher and a lower priority.
const DEFAULT_PRIORITY: i32 = 100;

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05", "code": "EAST", "name": "Harrisburg, Pennsylvania", "priority": 1,
    "active": true, "version": 1, "created_at": "2026-11-21T07:00:00Z", "updated_at": "2026-11-21T07:00:00Z"
}))]
pub struct WarehouseView {
    pub id: WarehouseId,
    pub code: WarehouseCode,
    pub name: Name,
    /// Orders take from the warehouse with the smallest number first
    pub priority: i32,
    /// Orders take stock from active warehouses only
    pub active: bool,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "EAST", "name": "Harrisburg, Pennsylvania", "priority": 1}))]
pub struct NewWarehouse {
    pub code: WarehouseCode,
    pub name: Name,
    /// Orders take from the warehouse with the smallest number first; 100 by default
    #[serde(default, deserialize_with = "whole_i32")]
    #[schema(minimum = -2_147_483_648, maximum = 2_147_483_647)]
    pub priority: Option<i32>,
    /// True by default
    pub active: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"priority": 2, "active": false}))]
pub struct ChangeWarehouse {
    pub code: Option<WarehouseCode>,
    pub name: Option<Name>,
    #[serde(default, deserialize_with = "whole_i32")]
    #[schema(minimum = -2_147_483_648, maximum = 2_147_483_647)]
    pub priority: Option<i32>,
    pub active: Option<bool>,
}

pub async fn list(conn: &mut PgConnection, page: &Page) -> Result<List<WarehouseView>> {
    let warehouses = sqlx::query_as!(
        WarehouseView,
        "select id, code as \"code: WarehouseCode\", name as \"name: Name\", priority, active, version, created_at,
                updated_at
           from warehouses where ($1::uuid is null or id > $1) order by id limit $2",
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(warehouses, |warehouse| warehouse.id.0.into()))
}

pub async fn get(conn: &mut PgConnection, id: WarehouseId) -> Result<WarehouseView> {
    sqlx::query_as!(
        WarehouseView,
        "select id, code as \"code: WarehouseCode\", name as \"name: Name\", priority, active, version, created_at,
                updated_at
           from warehouses where id = $1",
        id.0,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::Warehouse))
}

pub async fn create(conn: &mut PgConnection, principal: &Principal, new: &NewWarehouse) -> Result<WarehouseView> {
    match add(conn, std::slice::from_ref(new)).await?[..] {
        [id] => {
            actions::record(conn, principal, Action::new("warehouse.created", "warehouse", id)).await?;
            get(conn, id).await
        }
        _ => Err(Error::WarehouseCodeTaken),
    }
}

/// Adds warehouses in one statement, skips those whose code exists, and returns the ids of the new ones.
pub async fn add(conn: &mut PgConnection, new: &[NewWarehouse]) -> Result<Vec<WarehouseId>> {
    let ids = sqlx::query_scalar!(
        "insert into warehouses (id, code, name, priority, active)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::boolean[])
         on conflict (code) do nothing
         returning id as \"id: WarehouseId\"",
        new.iter().map(|_| WarehouseId::new()).collect::<Vec<_>>() as Vec<WarehouseId>,
        new.iter().map(|new| new.code.as_str()).collect::<Vec<_>>() as Vec<&str>,
        new.iter().map(|new| new.name.as_str()).collect::<Vec<_>>() as Vec<&str>,
        &new.iter().map(|new| new.priority.unwrap_or(DEFAULT_PRIORITY)).collect::<Vec<_>>(),
        &new.iter().map(|new| new.active.unwrap_or(true)).collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Changes the given fields. With `seen`, only if the warehouse still has that version.
pub async fn change(
    conn: &mut PgConnection,
    principal: &Principal,
    id: WarehouseId,
    seen: Option<i32>,
    change: &ChangeWarehouse,
) -> Result<WarehouseView> {
    // `pg_current_xact_id()` gives the transaction its id before it waits for the row. The product cache finds running
    // writers by their id: without it, a change whose time is from before the wait could be missed.
    let changed = sqlx::query_scalar!(
        "update warehouses w
            set code = coalesce($3, w.code),
                name = coalesce($4, w.name),
                priority = coalesce($5, w.priority),
                active = coalesce($6, w.active),
                version = w.version + 1,
                updated_at = statement_timestamp()
           from (select * from warehouses where id = $1 for no key update) old
          where w.id = old.id and pg_current_xact_id() is not null and ($2::int is null or w.version = $2)
         returning array_remove(array[
                case when w.code <> old.code then 'code' end,
                case when w.name <> old.name then 'name' end,
                case when w.priority <> old.priority then 'priority' end,
                case when w.active <> old.active then 'active' end], null) as \"changed!: Vec<String>\"",
        id.0,
        seen,
        change.code.as_ref().map(WarehouseCode::as_str),
        change.name.as_ref().map(Name::as_str),
        change.priority,
        change.active,
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(refused)?;
    let warehouse = get(conn, id).await?;
    let changed = changed.ok_or(Error::VersionMismatch)?;
    if !changed.is_empty() {
        actions::record(conn, principal, Action::changed("warehouse.changed", "warehouse", id, &changed)).await?;
    }
    Ok(warehouse)
}

fn refused(error: sqlx::Error) -> Error {
    match db::broken_constraint(&error) {
        Some("warehouses_code_key") => Error::WarehouseCodeTaken,
        _ => error.into(),
    }
}
