//! The stock ledger: every change of stock with its reason, its author and what it was for. The quantities of a row of
//! stock are the sums of its movements, because one statement writes both (`write`, and `inventory::open` for a new
//! row).

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::level::Pair;
use crate::error::{Error, Result};
use crate::months::Month;
use crate::page::{IdRange, List, Page};
use crate::platform::db::CustomPlan;
use crate::values::{OrderId, ProductId, ReservationId, UserId, WarehouseId};

/// Why stock changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Reason {
    Received,
    Damaged,
    Counted,
    Returned,
    Other,
    Reserved,
    Released,
    Expired,
    Shipped,
}

impl Reason {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Damaged => "damaged",
            Self::Counted => "counted",
            Self::Returned => "returned",
            Self::Other => "other",
            Self::Reserved => "reserved",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Shipped => "shipped",
        }
    }
}

/// A row of the ledger. Rows never change; a correction is a new row.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d50", "product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10",
    "warehouse_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05", "on_hand_delta": -3, "reserved_delta": 0, "reason": "damaged",
    "note": "dropped", "actor_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d40", "order_id": null, "reservation_id": null,
    "created_at": "2026-11-21T07:05:00Z"
}))]
pub struct MovementView {
    pub id: Uuid,
    pub product_id: ProductId,
    pub warehouse_id: WarehouseId,
    pub on_hand_delta: i32,
    pub reserved_delta: i32,
    pub reason: Reason,
    pub note: Option<String>,
    /// Null for the system
    pub actor_id: Option<UserId>,
    pub order_id: Option<OrderId>,
    pub reservation_id: Option<ReservationId>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MovementFilter {
    pub product_id: Option<ProductId>,
    pub warehouse_id: Option<WarehouseId>,
    pub order_id: Option<OrderId>,
    /// At this time or later
    pub from: Option<DateTime<Utc>>,
    /// Before this time
    pub to: Option<DateTime<Utc>>,
}

/// A change of one row of stock. Several changes of one row are added up, and each has its own row in the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub product_id: ProductId,
    pub warehouse_id: WarehouseId,
    pub on_hand_delta: i32,
    pub reserved_delta: i32,
    pub note: Option<String>,
    pub order_id: Option<OrderId>,
    pub reservation_id: Option<ReservationId>,
}

impl Change {
    pub(crate) fn of(product_id: ProductId, warehouse_id: WarehouseId) -> Self {
        Self {
            product_id,
            warehouse_id,
            on_hand_delta: 0,
            reserved_delta: 0,
            note: None,
            order_id: None,
            reservation_id: None,
        }
    }
}

/// Changes rows of stock and writes the ledger, in one statement. The caller has locked the rows (`level::lock`):
/// an update takes its locks in the order of its plan, and two of them could deadlock.
pub(crate) async fn write(
    conn: &mut PgConnection,
    actor: Option<UserId>,
    reason: Reason,
    changes: &[Change],
) -> Result<Vec<MovementView>> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let notes: Vec<Option<&str>> = changes.iter().map(|change| change.note.as_deref()).collect();
    let movements = sqlx::query_as!(
        MovementView,
        r#"with asked as (
               select * from unnest((select $1::uuid[]), $2::uuid[], $3::int[], $4::int[], $5::text[], $6::uuid[], $7::uuid[])
                        as a (product_id, warehouse_id, on_hand_delta, reserved_delta, note, order_id, reservation_id)),
           sums as (
               select product_id, warehouse_id, sum(on_hand_delta)::int as on_hand, sum(reserved_delta)::int as reserved,
                      statement_timestamp() as now
                 from asked group by product_id, warehouse_id),
           moved as (
               update inventory i
                  set on_hand = i.on_hand + s.on_hand, reserved = i.reserved + s.reserved,
                      restocked_at = case when s.on_hand > 0 and $9 in ('received', 'returned')
                                          then s.now else i.restocked_at end,
                      updated_at = s.now
                 from sums s
                where i.product_id = s.product_id and i.warehouse_id = s.warehouse_id
               returning i.product_id, i.warehouse_id)
           insert into stock_movements
                  (product_id, warehouse_id, on_hand_delta, reserved_delta, reason, note, actor_id, order_id, reservation_id)
           select product_id, warehouse_id, a.on_hand_delta, a.reserved_delta, $9, a.note, $8, a.order_id, a.reservation_id
             from asked a join moved using (product_id, warehouse_id)
           returning id, product_id, warehouse_id, on_hand_delta, reserved_delta, reason as "reason: Reason", note,
                     actor_id as "actor_id: UserId", order_id as "order_id: OrderId",
                     reservation_id as "reservation_id: ReservationId", created_at"#,
        changes.iter().map(|change| change.product_id).collect::<Vec<_>>() as Vec<ProductId>,
        changes.iter().map(|change| change.warehouse_id).collect::<Vec<_>>() as Vec<WarehouseId>,
        &changes.iter().map(|change| change.on_hand_delta).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.reserved_delta).collect::<Vec<_>>(),
        notes as Vec<Option<&str>>,
        changes.iter().map(|change| change.order_id).collect::<Vec<_>>() as Vec<Option<OrderId>>,
        changes.iter().map(|change| change.reservation_id).collect::<Vec<_>>() as Vec<Option<ReservationId>>,
        actor as Option<UserId>,
        reason as Reason,
    )
    .fetch_all(conn)
    .await?;
    if movements.len() == changes.len() {
        Ok(movements)
    } else {
        Err(Error::internal("a row of stock was to change that does not exist"))
    }
}

/// The rows that changes touch: lock them first.
pub(crate) fn rows_of(changes: &[Change]) -> BTreeSet<Pair> {
    changes.iter().map(|change| (change.product_id, change.warehouse_id)).collect()
}

/// Adds movements older than an hour to the checkpoints. No transaction that wrote one of them can still be open:
/// the database ends transactions that idle and statements that take too long.
///
/// It notes what the stock was at the end of each month.
pub(crate) async fn checkpoint(conn: &mut PgConnection) -> Result<()> {
    while checkpoint_month(conn).await? {}
    Ok(())
}

/// As far as the end of a month. Returns whether it got there.
async fn checkpoint_month(conn: &mut PgConnection) -> Result<bool> {
    let moved = sqlx::query!(
        // A movement's id begins with the milliseconds of its time.
        "with reach as (
             select before as low,
                    least(archive_id(now() - interval '1 hour'),
                          (select high from archive_months where high > before order by high limit 1)) as high
               from stock_checkpointed for no key update),
         old as (
             select product_id, warehouse_id, sum(on_hand_delta) as on_hand, sum(reserved_delta) as reserved
               from stock_movements, reach where id >= low and id < high
              group by product_id, warehouse_id),
         added as (
             insert into stock_checkpoints as c (product_id, warehouse_id, on_hand, reserved)
             select product_id, warehouse_id, on_hand, reserved from old
             on conflict (product_id, warehouse_id) do update
                set on_hand = c.on_hand + excluded.on_hand, reserved = c.reserved + excluded.reserved)
         update stock_checkpointed set before = high from reach where high > low",
    )
    .execute(&mut *conn)
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "insert into stock_closings (high, product_id, warehouse_id, on_hand, reserved)
         select before, product_id, warehouse_id, on_hand, reserved
           from stock_checkpointed join archive_months on high = before cross join stock_checkpoints
         on conflict do nothing",
    )
    .execute(&mut *conn)
    .await?;
    let is_end = sqlx::query_scalar!(
        r#"select exists (select from stock_checkpointed join archive_months on high = before) as "is_end!""#
    );
    Ok(is_end.fetch_one(conn).await?)
}

/// What moved in a month, of each row of stock, by the checkpoints at its beginning and at its end. None while there is no
/// checkpoint at its end.
pub(crate) async fn moved_in(conn: &mut PgConnection, month: &Month) -> Result<Option<HashMap<Pair, (i64, i64)>>> {
    let rows = sqlx::query!(
        r#"select product_id as "product_id!: ProductId", warehouse_id as "warehouse_id!: WarehouseId",
                  coalesce(after.on_hand, 0) - coalesce(before.on_hand, 0) as "on_hand!",
                  coalesce(after.reserved, 0) - coalesce(before.reserved, 0) as "reserved!"
             from (select * from stock_closings where high = $2) after
             full join (select * from stock_closings where high = $1) before using (product_id, warehouse_id)"#,
        month.low,
        month.high,
    );
    let is_there = sqlx::query_scalar!(r#"select before >= $1 as "is_there!" from stock_checkpointed"#, month.high);
    if !is_there.fetch_one(&mut *conn).await? {
        return Ok(None);
    }
    let moved = rows.fetch_all(conn).await?.into_iter();
    Ok(Some(moved.map(|row| ((row.product_id, row.warehouse_id), (row.on_hand, row.reserved))).collect()))
}

/// Deletes what was noted of the ends of months up to this one, which the next month does not begin with.
pub(crate) async fn forget_closings(conn: &mut PgConnection, before: &Month) -> Result<()> {
    sqlx::query!("delete from stock_closings where high <= $1", before.low).execute(conn).await?;
    Ok(())
}

/// The ledger, newest first.
pub async fn list(conn: &mut PgConnection, filter: &MovementFilter, page: &Page) -> Result<List<MovementView>> {
    match filter {
        MovementFilter { product_id: Some(product), order_id: None, .. } => {
            return list_of_product(conn, *product, filter, page).await;
        }
        MovementFilter { warehouse_id: Some(warehouse), product_id: None, order_id: None, .. } => {
            return list_of_warehouse(conn, *warehouse, filter, page).await;
        }
        _ => {}
    }
    let ids = IdRange::between(filter.from, filter.to);
    let rows = sqlx::query_as!(
        MovementView,
        r#"select id, product_id, warehouse_id, on_hand_delta, reserved_delta, reason as "reason: Reason", note,
                  actor_id as "actor_id: UserId", order_id as "order_id: OrderId",
                  reservation_id as "reservation_id: ReservationId", created_at
             from stock_movements
            where ($1::uuid is null or product_id = $1)
              and ($2::uuid is null or warehouse_id = $2)
              and ($3::uuid is null or order_id = $3)
              and ($4::uuid is null or id >= $4)
              and ($5::uuid is null or id < $5)
              and ($6::timestamptz is null or created_at >= $6)
              and ($7::timestamptz is null or created_at < $7)
              and ($8::uuid is null or id < $8)
            order by id desc limit $9"#,
        filter.product_id as Option<ProductId>,
        filter.warehouse_id as Option<WarehouseId>,
        filter.order_id as Option<OrderId>,
        ids.low,
        ids.high,
        filter.from,
        filter.to,
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(rows, |row| row.id.into()))
}

/// The movements of one product: the newest of each of its warehouses, merged. So the index by product and warehouse is
/// enough, and the ledger has one index less to write.
async fn list_of_product(
    conn: &mut PgConnection,
    product: ProductId,
    filter: &MovementFilter,
    page: &Page,
) -> Result<List<MovementView>> {
    let ids = IdRange::between(filter.from, filter.to);
    let rows = sqlx::query_as!(
        MovementView,
        r#"select m.id, m.product_id, m.warehouse_id, m.on_hand_delta, m.reserved_delta, m.reason as "reason: Reason",
                  m.note, m.actor_id as "actor_id: UserId", m.order_id as "order_id: OrderId",
                  m.reservation_id as "reservation_id: ReservationId", m.created_at
             from inventory i
            cross join lateral (
                  select * from stock_movements
                   where product_id = i.product_id and warehouse_id = i.warehouse_id
                     and ($3::uuid is null or id >= $3)
                     and ($4::uuid is null or id < $4)
                     and ($5::timestamptz is null or created_at >= $5)
                     and ($6::timestamptz is null or created_at < $6)
                     and ($7::uuid is null or id < $7)
                   order by product_id desc, warehouse_id desc, id desc limit $8) m
            where i.product_id = $1 and ($2::uuid is null or i.warehouse_id = $2)
            order by m.id desc limit $8"#,
        product as ProductId,
        filter.warehouse_id as Option<WarehouseId>,
        ids.low,
        ids.high,
        filter.from,
        filter.to,
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(rows, |row| row.id.into()))
}

/// The movements of one warehouse. With a plain `order by id` the planner may scan the primary key backwards: it assumes
/// that the warehouse's movements lie evenly over the years, and reads millions for one that was closed long ago.
/// Ordering by `warehouse_id` first leaves only the index by warehouse. It must be `= any(array[$1])`: with `= $1` the
/// planner drops `warehouse_id` from the order and picks the wrong index again.
async fn list_of_warehouse(
    conn: &mut PgConnection,
    warehouse: WarehouseId,
    filter: &MovementFilter,
    page: &Page,
) -> Result<List<MovementView>> {
    let ids = IdRange::between(filter.from, filter.to);
    let rows = sqlx::query_as!(
        MovementView,
        r#"select id, product_id, warehouse_id, on_hand_delta, reserved_delta, reason as "reason: Reason", note,
                  actor_id as "actor_id: UserId", order_id as "order_id: OrderId",
                  reservation_id as "reservation_id: ReservationId", created_at
             from stock_movements
            where warehouse_id = any(array[$1::uuid])
              and ($2::uuid is null or id >= $2)
              and ($3::uuid is null or id < $3)
              and ($4::timestamptz is null or created_at >= $4)
              and ($5::timestamptz is null or created_at < $5)
              and ($6::uuid is null or id < $6)
            order by warehouse_id desc, id desc limit $7"#,
        warehouse as WarehouseId,
        ids.low,
        ids.high,
        filter.from,
        filter.to,
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(rows, |row| row.id.into()))
}
