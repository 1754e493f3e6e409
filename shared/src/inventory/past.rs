//! How the stock of a row changed, for a chart: the closing balance of each day, and every movement of today.

use std::collections::HashMap;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::ledger::MovementView;
use crate::error::{Error, Resource, Result};
use crate::page::IdRange;
use crate::values::{InventoryId, ProductId, WarehouseId};

/// The days of the chart.
const DAYS: TimeDelta = TimeDelta::days(30);
/// Movements of today that are shown, the newest: a chart has about that many pixels.
const SHOWN_TODAY: i64 = 1_000;

/// A row of stock over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d20",
    "days": [{"at": "2026-11-21T00:00:00Z", "on_hand": 40, "reserved": 0}],
    "today": [{"at": "2026-11-21T07:05:00Z", "on_hand": 37, "reserved": 0}],
    "now": {"at": "2026-11-21T08:15:00Z", "on_hand": 37, "reserved": 0}
}))]
pub struct StockHistory {
    pub id: InventoryId,
    /// The balance at the end of each of the last 30 days (UTC) before today, the oldest first
    pub days: Vec<StockPoint>,
    /// The balance after each of the newest 1,000 movements of today, the oldest first
    pub today: Vec<StockPoint>,
    /// The balance now
    pub now: StockPoint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct StockPoint {
    pub at: DateTime<Utc>,
    pub on_hand: i64,
    pub reserved: i64,
}

/// A sum of movements: of a day (`at` is its start), or one of today.
struct Moved {
    at: DateTime<Utc>,
    is_day: bool,
    on_hand: i64,
    reserved: i64,
}

impl StockPoint {
    fn before(self, moved: &Moved) -> Self {
        Self { on_hand: self.on_hand - moved.on_hand, reserved: self.reserved - moved.reserved, ..self }
    }
}

/// Goes back from the present by the movements of the ledger, in one statement and so in one snapshot.
pub async fn history(conn: &mut PgConnection, id: InventoryId) -> Result<StockHistory> {
    let now = Utc::now();
    let midnight = now.date_naive().and_time(NaiveTime::MIN).and_utc();
    let from = midnight - DAYS;
    let rows = sqlx::query!(
        r#"with stock as (select product_id, warehouse_id, on_hand, reserved from inventory where id = $1),
           moved as materialized (
               select m.id, m.created_at, m.on_hand_delta, m.reserved_delta
                 from stock s join stock_movements m on m.product_id = s.product_id and m.warehouse_id = s.warehouse_id
                where m.id >= $2 and m.created_at >= $3),
           days as (
               select date_bin('1 day', created_at, 'epoch') as at, sum(on_hand_delta)::bigint as on_hand,
                      sum(reserved_delta)::bigint as reserved
                 from moved group by 1),
           today as (
               select created_at as at, on_hand_delta::bigint as on_hand, reserved_delta::bigint as reserved
                 from moved where created_at >= $4 order by created_at desc, id desc limit $5),
           steps as (select at, true as is_day, on_hand, reserved from days
                     union all select at, false, on_hand, reserved from today)
           select s.on_hand as on_hand_now, s.reserved as reserved_now, t.at as "at?", t.is_day as "is_day?",
                  t.on_hand as "on_hand?", t.reserved as "reserved?"
             from stock s left join steps t on true order by t.at desc"#,
        id as InventoryId,
        IdRange::between(Some(from), None).low,
        from,
        midnight,
        SHOWN_TODAY,
    )
    .fetch_all(conn)
    .await?;
    let first = rows.first().ok_or(Error::NotFound(Resource::Inventory))?;
    let present = StockPoint { at: now, on_hand: first.on_hand_now.into(), reserved: first.reserved_now.into() };
    let moved = rows.iter().filter_map(|row| {
        Some(Moved { at: row.at?, is_day: row.is_day?, on_hand: row.on_hand?, reserved: row.reserved? })
    });
    let (by_day, singly): (Vec<Moved>, Vec<Moved>) = moved.partition(|moved| moved.is_day);
    Ok(StockHistory { id, days: closing(present, &by_day, midnight), today: balances(present, &singly), now: present })
}

/// The balances at the ends of the days before today, which ends `midnight`.
fn closing(present: StockPoint, by_day: &[Moved], midnight: DateTime<Utc>) -> Vec<StockPoint> {
    let (mut balance, mut days) = (present, Vec::new());
    let mut end = midnight;
    while end > midnight - DAYS {
        if let Some(moved) = by_day.iter().find(|moved| moved.at == end) {
            balance = balance.before(moved);
        }
        days.push(StockPoint { at: end, ..balance });
        end -= TimeDelta::days(1);
    }
    days.reverse();
    days
}

/// The balances after single movements, of which the newest comes first.
fn balances(present: StockPoint, moved: &[Moved]) -> Vec<StockPoint> {
    let mut balance = present;
    let mut points: Vec<StockPoint> = moved
        .iter()
        .map(|moved| {
            let point = StockPoint { at: moved.at, ..balance };
            balance = balance.before(moved);
            point
        })
        .collect();
    points.reverse();
    points
}
/// What was on hand and reserved after each of these movements of one product: a page of its ledger, the newest first.
pub async fn balances_after(
    conn: &mut PgConnection,
    product: ProductId,
    page: &[MovementView],
) -> Result<Vec<(i64, i64)>> {
    let Some(newest) = page.first() else { return Ok(Vec::new()) };
    let rows = sqlx::query!(
        r#"select i.warehouse_id as "warehouse: WarehouseId", i.on_hand - coalesce(sum(m.on_hand_delta), 0) as "on_hand!",
                  i.reserved - coalesce(sum(m.reserved_delta), 0) as "reserved!"
             from inventory i
             left join stock_movements m
               on m.product_id = i.product_id and m.warehouse_id = i.warehouse_id and m.id > $2
            where i.product_id = $1 group by i.id"#,
        product.0,
        newest.id,
    )
    .fetch_all(conn)
    .await?;
    let mut now: HashMap<WarehouseId, (i64, i64)> =
        rows.into_iter().map(|row| (row.warehouse, (row.on_hand, row.reserved))).collect();
    let after = page.iter().map(|movement| {
        let level = now.entry(movement.warehouse_id).or_default();
        let after = *level;
        *level = (after.0 - i64::from(movement.on_hand_delta), after.1 - i64::from(movement.reserved_delta));
        after
    });
    Ok(after.collect())
}
