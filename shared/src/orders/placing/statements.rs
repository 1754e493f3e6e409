//! The statements that place a batch. Their number does not grow with it.
//!
//! The one writing statement fills the tables of other modules too (`reservations`, `inventory`,
//! `stock_movements`, `jobs`, `idempotency_keys`): one round trip under the hot row's lock, and not eight.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::super::jobs::ProcessPayment;
use super::super::{OrderView, read};
use super::decide::{Accepted, Present, StockRow, story};
use super::{PlaceOrder, PlacingTerms, ProductRef, as_placed};
use crate::error::{Error, Result};
use crate::idempotency;
use crate::queue::Job;
use crate::values::{CustomerId, JobId, OrderId, ProductId, WarehouseId};

/// What this transaction could take of the keys and customers of its batch.
pub struct ClaimedKeys {
    customers: Option<HashSet<Uuid>>,
    keys: HashSet<Uuid>,
}

impl ClaimedKeys {
    /// Is the order ours to place now?
    pub fn holds(&self, order: &PlaceOrder) -> bool {
        self.customers.as_ref().is_none_or(|held| held.contains(&order.customer_id.0))
            && (order.key.is_none() || self.has_key(order))
    }

    pub fn has_key(&self, order: &PlaceOrder) -> bool {
        self.keys.contains(&order.id.0)
    }
}

/// Takes the keys, and the customers whose unpaid orders are about to be counted. Never waits: what another
/// batch holds stays with it.
pub async fn claim(conn: &mut PgConnection, batch: &[PlaceOrder], terms: &PlacingTerms) -> Result<ClaimedKeys> {
    let counts_orders = terms.max_open_orders > 0;
    let mut customers: Vec<Uuid> =
        if counts_orders { batch.iter().map(|order| order.customer_id.0).collect() } else { Vec::new() };
    customers.sort_unstable();
    customers.dedup();
    let with_key: Vec<&PlaceOrder> = batch.iter().filter(|order| order.key.is_some()).collect();
    let (callers, keys) = keys(&with_key);
    let hashes: Vec<Vec<u8>> =
        with_key.iter().filter_map(|order| order.key.as_ref()).map(|(_, hash)| hash.as_bytes().to_vec()).collect();
    let ids: Vec<Uuid> = with_key.iter().map(|order| order.id.0).collect();
    if customers.is_empty() && keys.is_empty() {
        return Ok(ClaimedKeys { customers: None, keys: HashSet::new() });
    }
    // A key of more than a day ago is as good as never used.
    let rows = sqlx::query!(
        r#"with customer as materialized (
               select id from unnest($1::uuid[]) id
                where pg_try_advisory_xact_lock(hashtextextended('customer ' || id, 0))
           ), key as (
               insert into idempotency_keys as k (caller_id, key, body_hash, resource)
               select caller, key, hash, resource
                 from unnest($2::uuid[], $3::text[], $4::bytea[], $5::uuid[]) t (caller, key, hash, resource)
                where pg_try_advisory_xact_lock(hashtextextended(caller::text || key, 0))
               on conflict (caller_id, key) do update
                  set body_hash = excluded.body_hash, resource = excluded.resource, status = null, headers = null,
                      body = null, created_at = clock_timestamp()
                where k.created_at < now() - $6::interval
               returning resource
           )
           select id as "id!", true as "is_customer!" from customer union all select resource, false from key"#,
        &customers,
        &callers,
        &keys,
        &hashes,
        &ids,
        idempotency::KEY_LIFETIME as _,
    )
    .fetch_all(conn)
    .await?;
    let (held, keys): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_customer);
    let held = held.into_iter().map(|row| row.id).collect();
    Ok(ClaimedKeys { customers: counts_orders.then_some(held), keys: keys.into_iter().map(|row| row.id).collect() })
}

/// An order that needs no placing any more.
pub enum Earlier {
    /// Placed by an attempt of ours whose answer was lost.
    Ours(Box<OrderView>),
    Replay(Box<OrderView>),
    OtherBody,
}

/// What was placed before under the keys that we could not take. A key that is neither ours nor to be seen
/// is in another batch right now.
pub async fn earlier(
    conn: &mut PgConnection,
    batch: &[PlaceOrder],
    claimed: &ClaimedKeys,
) -> Result<HashMap<OrderId, Earlier>> {
    let asked: Vec<&PlaceOrder> = batch.iter().filter(|order| order.key.is_some() && !claimed.has_key(order)).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let (callers, keys) = keys(&asked);
    let rows = read::by_keys(conn, &callers, &keys).await?;
    let mut found = HashMap::new();
    for order in asked {
        let Some((key, hash)) = &order.key else { continue };
        let row = rows.iter().find(|row| row.caller_id == order.placed_by.0 && row.key == key.as_str());
        let earlier = match row {
            None => continue,
            Some(row) if row.body_hash != hash.as_bytes() => Earlier::OtherBody,
            Some(row) => match &row.order {
                Some(view) if view.id == order.id => Earlier::Ours(Box::new(as_placed(view.clone()))),
                Some(view) => Earlier::Replay(Box::new(as_placed(view.clone()))),
                // Under this key something else than an order was made.
                None => Earlier::OtherBody,
            },
        };
        found.insert(order.id, earlier);
    }
    Ok(found)
}

/// The orders of a batch that exist, because an attempt before this one was committed after all.
pub async fn existing(conn: &mut PgConnection, batch: &[PlaceOrder]) -> Result<HashMap<OrderId, Earlier>> {
    let ids: Vec<OrderId> = batch.iter().map(|order| order.id).collect();
    let found = read::by_ids(conn, &ids).await?;
    Ok(found.into_iter().map(|view| (view.id, Earlier::Ours(Box::new(as_placed(view))))).collect())
}

/// Locks the stock of all products of the batch, in the one order of locks, and tells what there is.
///
/// Every warehouse's row is locked, also of one that is not active: a retry must wait for the attempt before
/// it, whatever was switched off meanwhile. Only this locked table is fresh after a wait; what else the batch
/// must know is read by the next statement.
pub async fn lock_stock(conn: &mut PgConnection, batch: &[PlaceOrder]) -> Result<Vec<StockRow>> {
    let (ids, skus) = products(batch);
    let rows = sqlx::query!(
        r#"select i.product_id, i.warehouse_id, i.on_hand - i.reserved as "available!"
             from inventory i
            where i.product_id in (select unnest($1::uuid[]) union select id from products where sku = any($2))
            order by i.product_id, i.warehouse_id
              for no key update of i"#,
        &ids,
        &skus,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StockRow {
            product_id: ProductId(row.product_id),
            warehouse_id: WarehouseId(row.warehouse_id),
            available: row.available,
        })
        .collect())
}

/// Prices, warehouses and unpaid orders, in one statement that sees all that was committed before the locks.
pub async fn present(conn: &mut PgConnection, batch: &[PlaceOrder], terms: &PlacingTerms) -> Result<Present> {
    let (ids, skus) = products(batch);
    let customers: Vec<Uuid> = match terms.max_open_orders {
        0 => Vec::new(),
        _ => batch.iter().map(|order| order.customer_id.0).collect::<HashSet<_>>().into_iter().collect(),
    };
    let row = sqlx::query!(
        r#"select
             (select coalesce(jsonb_agg(jsonb_build_object('id', id, 'sku', sku, 'name', name,
                         'price_minor', price_minor, 'currency', currency, 'active', active)), '[]')
                from products
               where id in (select unnest($1::uuid[]) union select id from products where sku = any($2)))
               as "products!: Json<Vec<super::decide::PricedProduct>>",
             (select coalesce(jsonb_object_agg(id, priority), '{}') from warehouses where active)
               as "warehouses!: Json<HashMap<WarehouseId, i32>>",
             (select coalesce(jsonb_object_agg(customer_id, n), '{}')
                from (select customer_id, count(*) as n from orders
                       where customer_id = any($3) and status in ('pending', 'processing')
                       group by customer_id) open)
               as "open_orders!: Json<HashMap<CustomerId, i64>>""#,
        &ids,
        &skus,
        &customers,
    )
    .fetch_one(conn)
    .await?;
    Ok(Present { products: row.products.0, warehouses: row.warehouses.0, open_orders: row.open_orders.0 })
}

fn products(batch: &[PlaceOrder]) -> (Vec<Uuid>, Vec<String>) {
    let mut ids = HashSet::new();
    let mut skus = HashSet::new();
    for line in batch.iter().flat_map(|order| &order.lines) {
        match &line.product {
            ProductRef::Id(id) => _ = ids.insert(id.0),
            ProductRef::Sku(sku) => _ = skus.insert(sku.as_str().to_owned()),
        }
    }
    (ids.into_iter().collect(), skus.into_iter().collect())
}

/// What the database made of an accepted order.
#[derive(Debug, Clone)]
pub struct Written {
    pub number: i64,
    pub created_at: DateTime<Utc>,
    pub job_id: JobId,
}

/// The columns of everything that is written, one array a column.
#[derive(Default)]
struct Columns {
    order: OrderColumns,
    item: ItemColumns,
    allocation: AllocationColumns,
}

#[derive(Default)]
struct OrderColumns {
    id: Vec<Uuid>,
    customer: Vec<Uuid>,
    placed_by: Vec<Uuid>,
    currency: Vec<String>,
    total: Vec<i64>,
    address: Vec<Value>,
    token: Vec<String>,
    reservation: Vec<Uuid>,
    story: Vec<Value>,
    job: Vec<Uuid>,
    args: Vec<Value>,
    request_id: Vec<Option<String>>,
    trace_parent: Vec<Option<String>>,
}

#[derive(Default)]
struct ItemColumns {
    order: Vec<Uuid>,
    line: Vec<i16>,
    product: Vec<Uuid>,
    sku: Vec<String>,
    name: Vec<String>,
    quantity: Vec<i32>,
    price: Vec<i64>,
}

#[derive(Default)]
struct AllocationColumns {
    order: Vec<Uuid>,
    reservation: Vec<Uuid>,
    product: Vec<Uuid>,
    warehouse: Vec<Uuid>,
    quantity: Vec<i32>,
    actor: Vec<Uuid>,
}

impl Columns {
    fn of(accepted: &[(&PlaceOrder, &Accepted)]) -> Self {
        let mut columns = Self::default();
        for (order, accepted) in accepted {
            columns.push(order, accepted);
        }
        columns
    }

    fn push(&mut self, order: &PlaceOrder, accepted: &Accepted) {
        let reservation = Uuid::now_v7();
        let to = &mut self.order;
        to.id.push(order.id.0);
        to.customer.push(order.customer_id.0);
        to.placed_by.push(order.placed_by.0);
        to.currency.push(accepted.total.currency.to_string());
        to.total.push(accepted.total.amount);
        to.address.push(serde_json::json!(order.shipping_address));
        to.token.push(order.payment_token.as_str().to_owned());
        to.reservation.push(reservation);
        to.story.push(story(accepted));
        to.job.push(Uuid::now_v7());
        to.args.push(serde_json::json!(ProcessPayment { order_id: order.id }));
        to.request_id.push(order.origin.request_id.clone());
        to.trace_parent.push(order.origin.trace_parent.clone());
        for (line, item) in (1..).zip(&accepted.items) {
            let to = &mut self.item;
            to.order.push(order.id.0);
            to.line.push(line);
            to.product.push(item.product_id.0);
            to.sku.push(item.sku.as_str().to_owned());
            to.name.push(item.name.clone());
            to.quantity.push(item.quantity);
            to.price.push(item.unit_price_minor);
        }
        for one in &accepted.sourced.allocations {
            let to = &mut self.allocation;
            to.order.push(order.id.0);
            to.reservation.push(reservation);
            to.product.push(one.product_id.0);
            to.warehouse.push(one.warehouse_id.0);
            to.quantity.push(one.quantity);
            to.actor.push(order.placed_by.0);
        }
    }
}

/// Writes the accepted orders and all that follows from them, and frees the keys of the others.
///
/// Answers in the order of `accepted`. The locks are held, so a stock row that is not updated is a mistake
/// of ours, and the batch must not stand.
pub async fn write(
    tx: &mut PgTransaction<'_>,
    accepted: &[(&PlaceOrder, &Accepted)],
    freed: &[&PlaceOrder],
    terms: &PlacingTerms,
) -> Result<Vec<Written>> {
    let Columns { order, item, allocation } = Columns::of(accepted);
    let (freed_callers, freed_keys) = keys(freed);
    let rows = sqlx::query!(
        r#"with o as materialized (
               select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::jsonb[], $7::text[],
                                    $8::uuid[], $9::jsonb[], $10::uuid[], $11::jsonb[], $12::text[], $13::text[])
                 t (id, customer_id, placed_by, currency, total, address, token, reservation_id, story, job_id, args, request_id, trace_parent)
           ), a as materialized (
               select * from unnest($14::uuid[], $15::uuid[], $16::uuid[], $17::uuid[], $18::int[], $19::uuid[])
                 t (order_id, reservation_id, product_id, warehouse_id, quantity, actor_id)
           ), wanted as (
               select product_id, warehouse_id, sum(quantity)::int as quantity from a group by product_id, warehouse_id
           ), stocked as (
               update inventory i set reserved = i.reserved + w.quantity, updated_at = clock_timestamp()
                 from wanted w where i.product_id = w.product_id and i.warehouse_id = w.warehouse_id
               returning 1
           ), placed as (
               insert into orders (id, customer_id, placed_by, currency, total_minor, shipping_address, payment_token)
               select id, customer_id, placed_by, currency, total, address, token from o
               returning id, number, created_at
           ), item as (
               insert into order_items (order_id, line, product_id, sku, name, quantity, unit_price_minor)
               select * from unnest($20::uuid[], $21::smallint[], $22::uuid[], $23::text[], $24::text[], $25::int[], $26::bigint[])
           ), reservation as (
               insert into reservations (id, order_id, expires_at, created_by)
               select reservation_id, id, clock_timestamp() + make_interval(secs => $27), placed_by from o
           ), line as (
               insert into reservation_lines (reservation_id, product_id, warehouse_id, quantity)
               select reservation_id, product_id, warehouse_id, quantity from a
           ), movement as (
               insert into stock_movements (product_id, warehouse_id, reserved_delta, reason, actor_id, order_id, reservation_id)
               select product_id, warehouse_id, quantity, 'reserved', actor_id, order_id, reservation_id from a
           ), event as (
               insert into order_events (order_id, sequence, type, data) select id, 1, 'placed', story from o
           ), job as (
               insert into jobs (id, queue, kind, version, args, max_attempt, order_id, request_id, trace_parent)
               select job_id, $28::queue, $29, $30, args, $31, id, request_id, trace_parent from o
           ), freed as (
               delete from idempotency_keys where (caller_id, key) in (select * from unnest($32::uuid[], $33::text[]))
           )
           select o.job_id as "job_id!", p.number as "number!", p.created_at as "created_at!", p.id as "id!",
                  (select count(*) from stocked) = (select count(*) from wanted) as "complete!"
             from placed p join o on o.id = p.id"#,
        &order.id,
        &order.customer,
        &order.placed_by,
        &order.currency,
        &order.total,
        &order.address,
        &order.token,
        &order.reservation,
        &order.story,
        &order.job,
        &order.args,
        &order.request_id as &[Option<String>],
        &order.trace_parent as &[Option<String>],
        &allocation.order,
        &allocation.reservation,
        &allocation.product,
        &allocation.warehouse,
        &allocation.quantity,
        &allocation.actor,
        &item.order,
        &item.line,
        &item.product,
        &item.sku,
        &item.name,
        &item.quantity,
        &item.price,
        terms.reservation_ttl.as_secs_f64(),
        ProcessPayment::QUEUE as crate::queue::Queue,
        ProcessPayment::KIND,
        ProcessPayment::VERSION,
        terms.max_attempts,
        &freed_callers,
        &freed_keys,
    )
    .fetch_all(&mut **tx)
    .await?;
    if rows.len() != accepted.len() || !rows.iter().all(|row| row.complete) {
        return Err(Error::internal("a batch did not update every row of stock that it holds locked"));
    }
    let mut written: HashMap<Uuid, Written> = rows
        .into_iter()
        .map(|row| (row.id, Written { number: row.number, created_at: row.created_at, job_id: JobId(row.job_id) }))
        .collect();
    Ok(accepted.iter().map(|(order, _)| written.remove(&order.id.0).expect("each was just written")).collect())
}

/// The callers and keys of those orders that have one, as two columns.
fn keys(orders: &[&PlaceOrder]) -> (Vec<Uuid>, Vec<String>) {
    orders
        .iter()
        .filter_map(|order| order.key.as_ref().map(|(key, _)| (order.placed_by.0, key.as_str().to_owned())))
        .unzip()
}
