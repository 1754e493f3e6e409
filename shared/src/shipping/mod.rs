//! Shipments, and the interface of carriers. Alone writes `shipments`.
//!
//! A shipment is written before the carrier is called, and its id is the carrier's idempotency key in every attempt.
//! An order that has a shipment cannot be cancelled any more.

pub mod simulated;

use std::collections::HashMap;

use futures::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::values::{OrderId, WarehouseId};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the carrier is not available: {0}")]
pub struct CarrierError(pub String);

/// A carrier. A second one will come; that is why this is a trait.
pub trait Carrier: Send + Sync {
    /// Books a pick-up, once for each key, however often it is called. Returns the tracking number.
    fn book(&self, key: Uuid) -> BoxFuture<'_, Result<String, CarrierError>>;
}

/// The part of an order that leaves one warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    pub id: Uuid,
    pub warehouse_id: WarehouseId,
    /// From the carrier; None for a shipment that staff sent by hand.
    pub tracking_number: Option<String>,
}

/// Locks those of these orders that are paid, and opens their shipments, one for each warehouse that has reserved stock.
/// An order that is not paid is missing. Repeating it returns the same shipments.
pub(crate) async fn open(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, Vec<Shipment>>> {
    let rows = sqlx::query!(
        r#"with given as materialized (select $1::uuid[] as ids),
           paid as materialized (
               select id from orders where id = any((select ids from given)::uuid[]) and status = (select $2)
                order by id for no key update)
           insert into shipments as s (order_id, warehouse_id)
           select paid.id, stocked.warehouse_id
             from paid
            cross join lateral (
                  select distinct l.warehouse_id
                    from reservations r join reservation_lines l on l.reservation_id = r.id
                   where r.order_id = paid.id) stocked
            order by paid.id, stocked.warehouse_id
               on conflict (order_id, warehouse_id) do update set order_id = s.order_id
           returning s.id, s.order_id as "order_id: OrderId", s.warehouse_id as "warehouse_id: WarehouseId", s.tracking_number"#,
        orders as &[OrderId],
        "paid",
    )
    .fetch_all(conn)
    .await?;
    let mut opened: HashMap<OrderId, Vec<Shipment>> = HashMap::new();
    for row in rows {
        opened.entry(row.order_id).or_default().push(Shipment {
            id: row.id,
            warehouse_id: row.warehouse_id,
            tracking_number: row.tracking_number,
        });
    }
    Ok(opened)
}

/// Is the order being shipped? Call it in a separate statement while you hold the order locked: a statement that has
/// waited for a lock sees the shipments as they were before the wait.
pub async fn is_open(conn: &mut PgConnection, order_id: OrderId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from shipments where order_id = $1) as "open!""#,
        order_id as OrderId
    )
    .fetch_one(conn)
    .await?)
}

/// Marks the shipments as shipped. A tracking number from the carrier is kept even if staff have sent the order by hand
/// meanwhile.
pub(crate) async fn mark_shipped(conn: &mut PgConnection, shipments: &[&Shipment]) -> Result<()> {
    let ids: Vec<Uuid> = shipments.iter().map(|shipment| shipment.id).collect();
    let numbers: Vec<Option<&str>> = shipments.iter().map(|shipment| shipment.tracking_number.as_deref()).collect();
    sqlx::query!(
        "update shipments s
            set state = case when s.state = 'booking' then 'shipped' else s.state end,
                shipped_at = coalesce(s.shipped_at, t.now),
                tracking_number = coalesce(s.tracking_number, sent.tracking_number)
           from unnest((select $1::uuid[]), $2::text[]) sent (id, tracking_number), (select statement_timestamp() as now) t
          where s.id = sent.id",
        &ids,
        &numbers as &[Option<&str>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks the shipments of orders as delivered. The caller holds the orders locked.
pub(crate) async fn mark_delivered(conn: &mut PgConnection, orders: &[OrderId]) -> Result<()> {
    sqlx::query!(
        "update shipments set state = 'delivered', delivered_at = statement_timestamp()
          where order_id = any((select $1::uuid[])::uuid[]) and state = 'shipped'",
        orders as &[OrderId],
    )
    .execute(conn)
    .await?;
    Ok(())
}
