//! Lists live reservations: stock that is held and not yet paid for or shipped, what expires first coming first.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::{IntoParams, ToSchema};

use crate::error::Result;
use crate::page::{List, Page, Position};
use crate::platform::db::CustomPlan;
use crate::values::{OrderId, OrderNumber, ProductId, ReservationId, WarehouseId};

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HeldFilter {
    /// Only those that hold this product
    pub product_id: Option<ProductId>,
    /// Only those that hold stock in this warehouse
    pub warehouse_id: Option<WarehouseId>,
}

/// A reservation that holds stock until it expires.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d30", "order_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d60",
    "order_number": "M-4XK29QC", "items": [{
        "product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10", "sku": "MUG-01", "name": "Mug",
        "warehouse_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05", "quantity": 2
    }],
    "expires_at": "2026-11-21T07:20:00Z", "created_at": "2026-11-21T07:05:00Z"
}))]
pub struct HeldReservation {
    pub id: ReservationId,
    /// Null for one made by hand
    pub order_id: Option<OrderId>,
    #[schema(example = "M-4XK29QC")]
    pub order_number: Option<String>,
    pub items: Vec<HeldItem>,
    /// In the past: the reaper ends it within its next minute
    pub expires_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeldItem {
    pub product_id: ProductId,
    pub sku: String,
    pub name: String,
    pub warehouse_id: WarehouseId,
    pub quantity: i32,
}

/// Live reservations. There are as many as orders that wait for their payment: the index of what may expire has no others.
pub async fn list(conn: &mut PgConnection, filter: &HeldFilter, page: &Page) -> Result<List<HeldReservation>> {
    let after = page.after.and_then(|position| DateTime::from_timestamp_micros(position.rank));
    let rows = sqlx::query!(
        r#"with held as materialized (
               select r.id, r.order_id, r.expires_at, r.created_at from reservations r
                where r.state = 'held'
                  and ($1::timestamptz is null or (r.expires_at, r.id) > ($1, $2::uuid))
                  and (($3::uuid is null and $4::uuid is null)
                       or exists (select from reservation_lines l where l.reservation_id = r.id
                                     and ($3 is null or l.product_id = $3) and ($4 is null or l.warehouse_id = $4)))
                order by r.expires_at, r.id limit $5)
           select h.id as "id: ReservationId", h.order_id as "order_id: OrderId",
                  (select number from orders where id = h.order_id) as "number?", h.expires_at, h.created_at,
                  (select jsonb_agg(jsonb_build_object('product_id', l.product_id, 'sku', p.sku, 'name', p.name,
                              'warehouse_id', l.warehouse_id, 'quantity', l.quantity) order by p.sku, l.warehouse_id)
                     from reservation_lines l join products p on p.id = l.product_id
                    where l.reservation_id = h.id) as "items: Json<Vec<HeldItem>>"
             from held h order by h.expires_at, h.id"#,
        after,
        page.after_id(),
        filter.product_id as Option<ProductId>,
        filter.warehouse_id as Option<WarehouseId>,
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    let rows = rows
        .into_iter()
        .map(|row| HeldReservation {
            id: row.id,
            order_id: row.order_id,
            order_number: row.number.map(|number| OrderNumber(number).to_string()),
            items: row.items.map(|items| items.0).unwrap_or_default(),
            expires_at: row.expires_at,
            created_at: row.created_at,
        })
        .collect();
    Ok(page.list(rows, |row: &HeldReservation| Position { rank: row.expires_at.timestamp_micros(), id: row.id.0 }))
}
