//! Tells the feed what happened to stock: what somebody changed by hand, and what has come down to its reorder level. Writes
//! through `feed::record`.
//!
//! A row is low while what is available is at or below its reorder level. The transaction that makes a row low knows what
//! was available before, because it holds the row locked. So it tells of each time once, and nothing has to remember that.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::ledger::{Change, Reason};
use super::level::Pair;
use crate::error::Result;
use crate::feed::data::{AdjustedStock, LowStock, StockFacts};
use crate::feed::record::{self, EntityEvent};
use crate::values::{InventoryId, ProductId, WarehouseId};

/// A row of stock as it is now, locked.
struct StockNow {
    id: InventoryId,
    facts: StockFacts,
    reorder_level: i32,
}

/// Somebody changed what is on hand.
pub(super) async fn adjusted(conn: &mut PgConnection, reason: Reason, changes: &[Change]) -> Result<()> {
    let pairs: Vec<Pair> = changes.iter().map(|change| (change.product_id, change.warehouse_id)).collect();
    let mut rows = now(conn, &pairs).await?;
    let mut events = Vec::new();
    for change in changes {
        let Some(row) = rows.remove(&(change.product_id, change.warehouse_id)) else { continue };
        events.push(row.adjusted(change.on_hand_delta, reason));
        events.extend(row.low_since(row.facts.available - change.on_hand_delta));
    }
    record::record(conn, &events).await?;
    Ok(())
}

/// Somebody began to stock these. A row that was opened empty and with no reorder level is not called low.
pub(super) async fn opened(conn: &mut PgConnection, pairs: &[Pair], reason: Reason) -> Result<()> {
    let rows = now(conn, pairs).await?;
    let tell = |row: &StockNow| {
        let low = (row.reorder_level > 0).then(|| row.low_since(i32::MAX)).flatten();
        [row.adjusted(row.facts.on_hand, reason)].into_iter().chain(low).collect::<Vec<_>>()
    };
    record::record(conn, &rows.values().flat_map(tell).collect::<Vec<_>>()).await?;
    Ok(())
}

/// These are low since now. The caller knows that; none of them was before.
pub(crate) async fn became_low(conn: &mut PgConnection, pairs: &[Pair]) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let rows = now(conn, pairs).await?;
    let events: Vec<_> = rows.values().filter_map(|row| row.low_since(i32::MAX)).collect();
    record::record(conn, &events).await?;
    Ok(())
}

/// Does this change make the row low?
pub(crate) fn makes_low(available_before: i32, available_now: i32, reorder_level: i32) -> bool {
    available_before > reorder_level && available_now <= reorder_level
}

impl StockNow {
    fn adjusted(&self, delta: i32, reason: Reason) -> (Uuid, EntityEvent) {
        let reason = reason.name().to_owned();
        (self.id.0, EntityEvent::StockAdjusted(AdjustedStock { stock: self.facts.clone(), delta, reason }))
    }

    fn low_since(&self, available_before: i32) -> Option<(Uuid, EntityEvent)> {
        if !makes_low(available_before, self.facts.available, self.reorder_level) {
            return None;
        }
        let low = LowStock { stock: self.facts.clone(), reorder_level: self.reorder_level };
        Some((self.id.0, EntityEvent::StockLow(low)))
    }
}

async fn now(conn: &mut PgConnection, pairs: &[Pair]) -> Result<BTreeMap<Pair, StockNow>> {
    let (products, warehouses): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"select i.id as "id: InventoryId", i.product_id as "product_id: ProductId",
                  i.warehouse_id as "warehouse_id: WarehouseId", p.sku, i.on_hand, i.reserved, i.reorder_level
             from inventory i join products p on p.id = i.product_id
            where (i.product_id, i.warehouse_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
        products as Vec<ProductId>,
        warehouses as Vec<WarehouseId>,
    )
    .fetch_all(conn)
    .await?;
    let row = |row: StockNow| ((row.facts.product_id, row.facts.warehouse_id), row);
    Ok(rows
        .into_iter()
        .map(|stored| StockNow {
            id: stored.id,
            facts: StockFacts {
                product_id: stored.product_id,
                sku: stored.sku,
                warehouse_id: stored.warehouse_id,
                on_hand: stored.on_hand,
                reserved: stored.reserved,
                available: stored.on_hand - stored.reserved,
            },
            reorder_level: stored.reorder_level,
        })
        .map(row)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_low_when_it_comes_down_to_its_level() {
        for (before, now, level, is_low) in [
            (5, 4, 3, false),
            (4, 3, 3, true),
            (4, 0, 3, true),
            (3, 2, 3, false),
            (2, 9, 3, false),
            (1, 0, 0, true),
            (0, 0, 0, false),
        ] {
            assert_eq!(makes_low(before, now, level), is_low, "{before} {now} {level}");
        }
    }
}
