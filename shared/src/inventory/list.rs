//! Lists of stock: with filters, by what a product is called, as it was at an earlier time, and what is low.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::IntoParams;
use uuid::Uuid;

use super::StockView;
use crate::error::{Error, Result};
use crate::page::{IdRange, List, Page, Position};
use crate::platform::db::CustomPlan;
use crate::values::search::Search;
use crate::values::{InventoryId, ProductId, WarehouseId};

/// How many rows a search reads one by one, before it uses the search index.
const SCAN_FIRST: i64 = 5_000;
/// How far back stock can be shown as it was: a page adds up all movements since then.
const PAST: TimeDelta = TimeDelta::days(31);

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StockFilter {
    pub product_id: Option<ProductId>,
    pub warehouse_id: Option<WarehouseId>,
    /// Only what is low (`available <= reorder_level`), or only what is not
    pub low_stock: Option<bool>,
    /// Part of the product's name or SKU; one or two characters match only at the start of a word
    #[param(value_type = Option<String>, max_length = 100, pattern = r"^[^\u0000]*$")]
    pub q: Option<Search>,
    /// The quantities as they were at this time, at most 31 days ago; not together with `low_stock`. Everything else in a
    /// row is as it is now
    pub as_of: Option<DateTime<Utc>>,
}

/// Rows of stock, the oldest row first. A row that did not exist at the time `as_of` is left out, so a page may be shorter
/// than its limit.
pub async fn list(conn: &mut PgConnection, filter: &StockFilter, page: &Page) -> Result<List<StockView>> {
    if let Some(at) = filter.as_of {
        refuse_past(filter, at, Utc::now())?;
    }
    let ids = match &filter.q {
        None => ids(conn, filter, page).await?,
        Some(q) => found(conn, filter, q, page).await?,
    };
    let ids = page.list(ids, |id| Position::from(*id));
    let rows = match filter.as_of {
        None => rows(conn, &ids.data).await?,
        Some(at) => rows_as_of(conn, &ids.data, at).await?,
    };
    Ok(List { data: rows, next_cursor: ids.next_cursor })
}

fn refuse_past(filter: &StockFilter, at: DateTime<Utc>, now: DateTime<Utc>) -> Result<()> {
    if filter.low_stock.is_some() {
        return Err(Error::field("low_stock", "invalid_value", "it means the present, so it does not go with `as_of`"));
    }
    if at < now - PAST {
        let message = format!("stock can be shown as it was up to {} days ago", PAST.num_days());
        return Err(Error::field("as_of", "too_far_back", message));
    }
    Ok(())
}

async fn ids(conn: &mut PgConnection, filter: &StockFilter, page: &Page) -> Result<Vec<Uuid>> {
    let ids = sqlx::query_scalar!(
        "select id from inventory
          where ($1::uuid is null or product_id = $1)
            and ($2::uuid is null or warehouse_id = $2)
            and ($3::bool is null or (shortfall is not null) = $3)
            and ($4::uuid is null or id > $4)
          order by id limit $5",
        filter.product_id as Option<ProductId>,
        filter.warehouse_id as Option<WarehouseId>,
        filter.low_stock,
        page.after_id(),
        page.fetch(),
    );
    Ok(ids.fetch_all(CustomPlan(conn)).await?)
}

/// Searches in two steps, as `catalog::products` does: a common word fills a page from the first rows, a rare word is found
/// by the search index.
async fn found(conn: &mut PgConnection, filter: &StockFilter, q: &Search, page: &Page) -> Result<Vec<Uuid>> {
    let near = sqlx::query_scalar!(
        "select near.id
           from (select * from inventory
                  where ($1::uuid is null or product_id = $1) and ($2::uuid is null or warehouse_id = $2)
                    and ($3::bool is null or (shortfall is not null) = $3) and ($4::uuid is null or id > $4)
                  order by id limit $5) near
           join products p on p.id = near.product_id
          where p.search like lower($6) order by near.id limit $7",
        filter.product_id as Option<ProductId>,
        filter.warehouse_id as Option<WarehouseId>,
        filter.low_stock,
        page.after_id(),
        SCAN_FIRST,
        q.pattern(),
        page.fetch(),
    );
    let near = near.fetch_all(CustomPlan(&mut *conn)).await?;
    if i64::try_from(near.len()).is_ok_and(|found| found == page.fetch()) {
        return Ok(near);
    }
    let all = sqlx::query_scalar!(
        "with named as materialized (select id from products where search like lower($5) and ($1::uuid is null or id = $1))
         select i.id from named join inventory i on i.product_id = named.id
          where ($2::uuid is null or i.warehouse_id = $2)
            and ($3::bool is null or (i.shortfall is not null) = $3)
            and ($4::uuid is null or i.id > $4)
          order by i.id limit $6",
        filter.product_id as Option<ProductId>,
        filter.warehouse_id as Option<WarehouseId>,
        filter.low_stock,
        page.after_id(),
        q.pattern(),
        page.fetch(),
    );
    Ok(all.fetch_all(CustomPlan(conn)).await?)
}

async fn rows(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<StockView>> {
    Ok(sqlx::query_as!(
        StockView,
        r#"select i.id as "id: InventoryId", i.product_id as "product_id: ProductId", p.sku,
                  i.warehouse_id as "warehouse_id: WarehouseId", i.on_hand, i.reserved,
                  i.on_hand - i.reserved as "available!", i.reorder_level, i.reorder_quantity, i.restocked_at,
                  i.updated_at, i.version
             from inventory i join products p on p.id = i.product_id
            where i.id = any($1) order by i.id"#,
        ids,
    )
    .fetch_all(conn)
    .await?)
}

/// All rows of these products, the oldest row first.
pub async fn of_products(conn: &mut PgConnection, products: &[ProductId]) -> Result<Vec<StockView>> {
    Ok(sqlx::query_as!(
        StockView,
        r#"select i.id as "id: InventoryId", i.product_id as "product_id: ProductId", p.sku,
                  i.warehouse_id as "warehouse_id: WarehouseId", i.on_hand, i.reserved,
                  i.on_hand - i.reserved as "available!", i.reorder_level, i.reorder_quantity, i.restocked_at,
                  i.updated_at, i.version
             from inventory i join products p on p.id = i.product_id
            where i.product_id = any($1) order by i.id"#,
        &products.iter().map(|id| id.0).collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await?)
}

/// The rows less what has moved since. One statement, so that rows and movements are of the same snapshot.
async fn rows_as_of(conn: &mut PgConnection, ids: &[Uuid], at: DateTime<Utc>) -> Result<Vec<StockView>> {
    Ok(sqlx::query_as!(
        StockView,
        r#"select i.id as "id: InventoryId", i.product_id as "product_id: ProductId", p.sku,
                  i.warehouse_id as "warehouse_id: WarehouseId",
                  (i.on_hand - moved.on_hand)::int as "on_hand!", (i.reserved - moved.reserved)::int as "reserved!",
                  (i.on_hand - moved.on_hand - i.reserved + moved.reserved)::int as "available!",
                  i.reorder_level, i.reorder_quantity, i.restocked_at, i.updated_at, i.version
             from inventory i
             join products p on p.id = i.product_id
            cross join lateral (
                  select coalesce(sum(on_hand_delta), 0) as on_hand, coalesce(sum(reserved_delta), 0) as reserved
                    from stock_movements m
                   where m.product_id = i.product_id and m.warehouse_id = i.warehouse_id
                     and m.id >= $2 and m.created_at > $3) moved
            where i.id = any($1) and i.created_at <= $3 order by i.id"#,
        ids,
        IdRange::between(Some(at), None).low,
        at,
    )
    .fetch_all(conn)
    .await?)
}

/// Low stock, worst first: sorted by how far it is below its reorder level.
///
/// Rows can move between pages while stock is sold, so a row may be skipped or repeated. That is acceptable here.
pub async fn list_low(conn: &mut PgConnection, page: &Page) -> Result<List<StockView>> {
    let rows = sqlx::query_as!(
        StockView,
        r#"select i.id, i.product_id, p.sku, i.warehouse_id, i.on_hand, i.reserved,
                  i.on_hand - i.reserved as "available!", i.reorder_level, i.reorder_quantity, i.restocked_at,
                  i.updated_at, i.version
             from inventory i join products p on p.id = i.product_id
            where i.shortfall is not null
              and ($1::bigint is null or (i.shortfall, i.id) > ($1, $2::uuid))
            order by i.shortfall, i.id limit $3"#,
        page.after.map(|position| position.rank),
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(rows, |row| Position { rank: i64::from(row.available - row.reorder_level), id: row.id.0 }))
}
