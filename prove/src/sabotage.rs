//! Damages data on purpose, directly in the database. The verdict must detect each kind of damage.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use uuid::Uuid;

use crate::cluster::Cluster;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sabotage {
    /// An order is charged a second time at the provider
    Charge,
    /// One more unit is on hand, without a movement
    Stock,
    /// A stock movement is added that did not happen
    Movement,
    /// The job of an unfinished order is deleted
    Job,
    /// An order contains another product than the API answered
    Item,
    /// An order that was answered 201 is deleted
    Order,
    /// An event is deleted from the feed
    Feed,
    /// A cancelled order says that its reservation has expired
    Expiry,
}

impl Sabotage {
    /// Deleting a job does damage only while its order is not finished.
    pub fn is_before_rest(self) -> bool {
        self == Self::Job
    }

    /// Orders are damaged only if a client was answered 201 for them.
    pub async fn apply(self, cluster: &Cluster, remembered: &[Uuid]) -> Result<()> {
        let statements: &[&'static str] = match self {
            Self::Charge => &["insert into simulated_charges (key, amount_minor, currency, state)
                 select gen_random_uuid(), amount_minor, currency, 'charged'
                   from simulated_charges where state = 'charged' limit 1"],
            Self::Stock => &["update inventory set on_hand = on_hand + 1
                  where id = (select id from inventory order by id limit 1)"],
            Self::Movement => &["insert into stock_movements (product_id, warehouse_id, on_hand_delta, reason)
                 select product_id, warehouse_id, 1, 'received' from inventory order by id desc limit 1"],
            // The delivery that is due last, because no worker runs it in the meantime.
            Self::Job => &["delete from jobs where id = (
                     select j.id from jobs j join orders o on o.id = j.order_id
                      where o.status = 'shipped' and j.kind = 'deliver_order' and j.state = 'ready'
                      order by j.run_at desc limit 1)"],
            Self::Item => &["update order_items set sku = 'SOMETHING-ELSE' where (order_id, line) = (
                     select order_id, line from order_items where order_id = any($1) order by 1 limit 1)"],
            // Deletes every row of the order, so that only the clients' history shows the loss.
            Self::Order => &[
                "create temporary table gone as
                     select max(id::text)::uuid as id from orders where status = 'cancelled' and id = any($1)",
                "delete from jobs where order_id = (select id from gone)",
                "delete from charges where order_id = (select id from gone)",
                "delete from feed where subject = (select id from gone)",
                "delete from order_events where order_id = (select id from gone)",
                "delete from order_items where order_id = (select id from gone)",
                "delete from reservation_lines where reservation_id = (
                     select r.id from reservations r join gone on gone.id = r.order_id)",
                "delete from reservations where order_id = (select id from gone)",
                "delete from idempotency_keys where resource = (select id from gone)",
                "delete from orders where id = (select id from gone)",
            ],
            Self::Expiry => &["update orders set cancel_reason = 'reservation_expired'
                  where id = (select id from orders where status = 'cancelled' limit 1)"],
            Self::Feed => &["delete from feed where position = (select max(position) from feed)"],
        };
        let mut tx = cluster.db.begin().await?;
        let mut changed = 0;
        for sql in statements {
            let mut query = sqlx::query(*sql);
            if sql.contains("$1") {
                query = query.bind(remembered);
            }
            changed = query.execute(&mut *tx).await?.rows_affected();
        }
        ensure!(changed == 1, "the sabotage {self:?} changed {changed} rows instead of 1");
        Ok(tx.commit().await?)
    }
}
