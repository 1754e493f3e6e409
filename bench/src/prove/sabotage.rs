//! Damage done on purpose, past the code that keeps things right: the verdict must see each kind.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::house::House;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sabotage {
    /// An order is charged a second time in the provider's books
    Charge,
    /// A unit appears on a shelf
    Stock,
    /// The ledger gets a movement that never was
    Movement,
    /// The job of an order that is under way is deleted
    Job,
    /// An order holds another product than was answered
    Item,
    /// An order that was answered is gone
    Order,
}

impl Sabotage {
    /// A deleted job is no damage once its order is at its end.
    pub fn is_before_rest(self) -> bool {
        self == Self::Job
    }

    /// The line of the verdict that must see it.
    pub fn is_seen_by(self) -> &'static str {
        match self {
            Self::Charge => "the_provider_charged_each_sale_once",
            Self::Stock | Self::Movement => "stock_is_the_sum_of_its_movements",
            Self::Job => "every_open_order_waits_for_somebody",
            Self::Item | Self::Order => "every_answered_order_is_there_as_answered",
        }
    }

    pub async fn commit(self, house: &House) -> Result<()> {
        let sql = match self {
            Self::Charge => {
                "insert into simulated.charges (key, amount_minor, currency, state)
                 select gen_random_uuid(), amount_minor, currency, 'charged'
                   from simulated.charges where state = 'charged' limit 1"
            }
            Self::Stock => {
                "update inventory set on_hand = on_hand + 1 where id = (select min(id::text)::uuid from inventory)"
            }
            Self::Movement => {
                "insert into stock_movements (product_id, warehouse_id, on_hand_delta, reason)
                 select product_id, warehouse_id, 1, 'received' from inventory limit 1"
            }
            // Delivery is far enough away that nobody runs it meanwhile.
            Self::Job => {
                "delete from jobs where id = (
                     select j.id from jobs j join orders o on o.id = j.order_id
                      where o.status = 'shipped' and j.kind = 'deliver_order' and j.state = 'ready'
                        and j.run_at > clock_timestamp() + interval '1 second'
                      order by j.run_at desc limit 1)"
            }
            Self::Item => {
                "update order_items set sku = 'SOMETHING-ELSE' where (order_id, line) = (select order_id, line from order_items limit 1)"
            }
            Self::Order => return remove_an_order(house).await,
        };
        match sqlx::query(sql).execute(&house.db).await?.rows_affected() {
            1 => Ok(()),
            rows => bail!("the sabotage {self:?} struck {rows} rows"),
        }
    }
}

/// Its stock was given back and its charge was none, so that nothing else tells of it.
async fn remove_an_order(house: &House) -> Result<()> {
    let mut tx = house.db.begin().await?;
    let order: uuid::Uuid = sqlx::query_scalar(
        "select id from orders o where status = 'cancelled'
            and exists (select from idempotency_keys where resource = o.id) limit 1",
    )
    .fetch_optional(&mut *tx)
    .await?
    .context("no order was cancelled")?;
    for sql in [
        "delete from charges where order_id = $1",
        "delete from order_events where order_id = $1",
        "delete from order_items where order_id = $1",
        "delete from reservation_lines where reservation_id in (select id from reservations where order_id = $1)",
        "delete from reservations where order_id = $1",
        "delete from idempotency_keys where resource = $1",
        "delete from orders where id = $1",
    ] {
        sqlx::query(sql).bind(order).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}
