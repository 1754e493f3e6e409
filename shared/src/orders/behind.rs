//! What stands behind an order, for staff: where its stock comes from and why, and what was asked of the payment provider.
//! Writes no table.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::PaymentStatus;
use super::read;
use crate::error::Result;
use crate::inventory::reserve::{self, ReservationView};
use crate::principal::Principal;
use crate::values::{Money, OrderId, ReservationId};

/// Where the stock of an order comes from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "reservation": {
        "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d30", "state": "held",
        "items": [{
            "product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10", "warehouse_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05",
            "quantity": 2
        }],
        "expires_at": "2026-11-21T07:20:00Z", "order_id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01",
        "created_by": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d40",
        "created_at": "2026-11-21T07:05:00Z", "updated_at": "2026-11-21T07:05:00Z"
    },
    "sourcing": { "how": "together", "considered": [], "from": [] }
}))]
pub struct OrderAllocation {
    /// Null if the order has none any more
    pub reservation: Option<ReservationView>,
    /// Which warehouses were considered when the order was placed, and what each of them lacked
    #[schema(value_type = Option<Object>)]
    pub sourcing: Option<Value>,
}

/// A charge in our ledger. Its id is the provider's key in every attempt, so the provider charges once.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f70-2c00-7a11-9d22-4e0b7f3c5d12", "status": "pending", "amount": { "amount": 2500, "currency": "USD" },
    "manual": false, "reason": null, "attempts": 8, "created_at": "2026-11-21T09:30:01Z", "updated_at": "2026-11-21T09:30:01Z"
}))]
pub struct ChargeView {
    /// The key under which the provider knows it
    pub id: Uuid,
    pub status: PaymentStatus,
    pub amount: Money,
    /// Recorded by staff; the provider knows nothing of it
    pub manual: bool,
    /// Why the provider declined
    pub reason: Option<String>,
    /// How often a worker has tried
    pub attempts: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

pub async fn allocation(conn: &mut PgConnection, staff: &Principal, id: OrderId) -> Result<OrderAllocation> {
    read::require_visible(conn, staff, id).await?;
    let reservation = sqlx::query_scalar!(
        r#"select id as "id: ReservationId" from reservations where order_id = $1 order by id desc limit 1"#,
        id.0,
    );
    let reservation = match reservation.fetch_optional(&mut *conn).await? {
        Some(id) => Some(reserve::find(conn, id).await?),
        None => None,
    };
    let sourcing = sqlx::query_scalar!(
        "select data -> 'sourcing' as sourcing from order_events where order_id = $1 and sequence = 1",
        id.0,
    );
    Ok(OrderAllocation { reservation, sourcing: sourcing.fetch_optional(conn).await?.flatten() })
}

/// The charges of an order, the oldest first.
pub async fn charges(conn: &mut PgConnection, staff: &Principal, id: OrderId) -> Result<Vec<ChargeView>> {
    read::require_visible(conn, staff, id).await?;
    let rows = sqlx::query!(
        r#"select c.id, c.state, c.amount_minor, c.currency, c.manual, c.reason, c.created_at, c.updated_at,
                  (select coalesce(sum(j.attempt), 0) from jobs j
                    where j.order_id = c.order_id and j.kind = 'process_payment') as "attempts!"
             from charges c where c.order_id = $1 order by c.id"#,
        id.0,
    )
    .fetch_all(conn)
    .await?;
    let charges = rows.into_iter().map(|row| ChargeView {
        id: row.id,
        status: match row.state.as_str() {
            "charged" => PaymentStatus::Charged,
            "declined" => PaymentStatus::Declined,
            "refunded" => PaymentStatus::Refunded,
            "voided" => PaymentStatus::Voided,
            _ => PaymentStatus::Pending,
        },
        amount: Money::stored(row.amount_minor, &row.currency),
        manual: row.manual,
        reason: row.reason,
        attempts: if row.manual { 0 } else { row.attempts },
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    Ok(charges.collect())
}
