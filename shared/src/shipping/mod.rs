//! Getting orders to their buyers: shipments, and the carrier's interface. Alone writes `shipments`.
//!
//! A shipment is written before the carrier is called: its id is the carrier's key over all attempts, and an
//! order that has one cannot be cancelled any more.

pub mod simulated;

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
    /// Books a pick-up, once for each key however often it is asked, and answers the tracking number.
    fn book(&self, key: Uuid) -> BoxFuture<'_, Result<String, CarrierError>>;
}

/// What leaves one warehouse for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    pub id: Uuid,
    pub warehouse_id: WarehouseId,
    /// As the carrier told; none for one that was sent by hand.
    pub tracking_number: Option<String>,
}

/// Locks the order if it is paid, and opens its shipments, one for each warehouse that holds its stock; none
/// if it is not paid (any more). Repeating it answers the same shipments.
pub(crate) async fn open(conn: &mut PgConnection, order_id: OrderId) -> Result<Vec<Shipment>> {
    let rows = sqlx::query!(
        r#"with paid as materialized (
               select id from orders where id = $1 and status = 'paid' for no key update)
           insert into shipments as s (order_id, warehouse_id)
           select distinct paid.id, l.warehouse_id
             from paid
             join reservations r on r.order_id = paid.id
             join reservation_lines l on l.reservation_id = r.id
            order by l.warehouse_id
               on conflict (order_id, warehouse_id) do update set order_id = s.order_id
           returning s.id, s.warehouse_id as "warehouse_id: WarehouseId", s.tracking_number"#,
        order_id as OrderId,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Shipment { id: row.id, warehouse_id: row.warehouse_id, tracking_number: row.tracking_number })
        .collect())
}

/// Is the order being shipped? Ask only while holding its lock, in a statement of its own: one that waited
/// for the lock sees the shipments as they were before.
pub async fn is_open(conn: &mut PgConnection, order_id: OrderId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from shipments where order_id = $1) as "open!""#,
        order_id as OrderId
    )
    .fetch_one(conn)
    .await?)
}

/// The shipments are on their way. What the carrier has booked is kept also where somebody has sent the order
/// by hand meanwhile.
pub(crate) async fn send(conn: &mut PgConnection, shipments: &[&Shipment]) -> Result<()> {
    let ids: Vec<Uuid> = shipments.iter().map(|shipment| shipment.id).collect();
    let numbers: Vec<Option<&str>> = shipments.iter().map(|shipment| shipment.tracking_number.as_deref()).collect();
    sqlx::query!(
        "update shipments s
            set state = case when s.state = 'booking' then 'shipped' else s.state end,
                shipped_at = coalesce(s.shipped_at, clock_timestamp()),
                tracking_number = coalesce(s.tracking_number, sent.tracking_number)
           from unnest($1::uuid[], $2::text[]) sent (id, tracking_number)
          where s.id = sent.id",
        &ids,
        &numbers as &[Option<&str>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The orders, which the caller holds locked, have arrived.
pub(crate) async fn arrive(conn: &mut PgConnection, orders: &[OrderId]) -> Result<()> {
    sqlx::query!(
        "update shipments set state = 'delivered', delivered_at = clock_timestamp()
          where order_id = any($1) and state = 'shipped'",
        orders as &[OrderId],
    )
    .execute(conn)
    .await?;
    Ok(())
}
