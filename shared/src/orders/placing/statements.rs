//! The statements that read and lock for a batch. Their number does not grow with the batch. They also take the keys of a
//! whole batch (`idempotency_keys`), for which `idempotency` has a statement for one key.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::super::read;
use super::super::status::Status;
use super::decide::{Present, PricedProduct, StockRow};
use super::request::{PlaceOrder, Placement, PlacingTerms, ProductRef, as_placed};
use super::unpaid::{EarlyUnpaid, Unpaid};
use crate::error::{Error, Result};
use crate::idempotency;
use crate::values::{CustomerId, OrderId, ProductId, WarehouseId};

/// The keys and customers of a batch that this transaction holds. No other batch can take them until it ends.
pub(super) struct TakenKeys {
    /// With what each holds unpaid. None: nothing limits what a customer holds.
    customers: Option<HashMap<Uuid, EarlyUnpaid>>,
    keys: HashSet<Uuid>,
}

impl TakenKeys {
    /// Does this transaction hold what it needs to place the order?
    pub(super) fn has_all_of(&self, order: &PlaceOrder) -> bool {
        self.customers.as_ref().is_none_or(|taken| taken.contains_key(&order.customer_id.0))
            && (order.key.is_none() || self.has_key(order))
    }

    pub(super) fn has_key(&self, order: &PlaceOrder) -> bool {
        self.keys.contains(&order.id.0)
    }

    /// Refuses an order that will be refused whatever its stock is.
    pub(super) fn check_early(&self, order: &PlaceOrder, terms: &PlacingTerms) -> Result<()> {
        match self.customers.as_ref().and_then(|customers| customers.get(&order.customer_id.0)) {
            Some(unpaid) => unpaid.check(order.units(), terms),
            None => Ok(()),
        }
    }
}

/// Takes the keys, and the customers whose unpaid orders are about to be counted. Never waits: a key or a customer that
/// another batch holds is left out.
///
/// It also reads what the customers hold unpaid. This statement does not see an order that was committed after it began
/// and before it took the customer. So the numbers are good enough to refuse with, and not to accept with.
pub(super) async fn take_keys(
    conn: &mut PgConnection,
    batch: &[PlaceOrder],
    terms: &PlacingTerms,
) -> Result<TakenKeys> {
    let limits_customers = terms.limits_customers();
    let mut customers: Vec<Uuid> =
        if limits_customers { batch.iter().map(|order| order.customer_id.0).collect() } else { Vec::new() };
    customers.sort_unstable();
    customers.dedup();
    let with_key: Vec<&PlaceOrder> = batch.iter().filter(|order| order.key.is_some()).collect();
    let (callers, keys) = keys(&with_key);
    let hashes: Vec<Vec<u8>> =
        with_key.iter().filter_map(|order| order.key.as_ref()).map(|(_, hash)| hash.as_bytes().to_vec()).collect();
    let ids: Vec<Uuid> = with_key.iter().map(|order| order.id.0).collect();
    if customers.is_empty() && keys.is_empty() {
        return Ok(TakenKeys { customers: None, keys: HashSet::new() });
    }
    // A key expires after a day: then it can be used again.
    let rows = sqlx::query!(
        r#"with customer as materialized (
               select id from unnest((select $1::uuid[])) id
                where pg_try_advisory_xact_lock(hashtextextended('customer ' || id, 0))
           ), key as (
               insert into idempotency_keys as k (caller_id, key, body_hash, resource)
               select caller, key, hash, resource
                 from unnest((select $2::uuid[]), $3::text[], $4::bytea[], $5::uuid[]) t (caller, key, hash, resource)
                where pg_try_advisory_xact_lock(hashtextextended(caller::text || key, 0))
               on conflict (caller_id, key) do update
                  set body_hash = excluded.body_hash, resource = excluded.resource, status = null, headers = null,
                      body = null, created_at = excluded.created_at
                where excluded.created_at - k.created_at > $6::interval
               returning resource
           )
           select c.id as "id!", true as "is_customer!", open.orders as "orders!", paid.has_paid as "has_paid!",
                  coalesce(held.units, 0) as "units!"
             from customer c
            cross join lateral (
                  select count(*) as orders from orders where customer_id = c.id and stage = any((select $9::text[])::text[]) and status = any((select $7::text[])::text[])) open
            cross join lateral (
                  select exists (select from orders where customer_id = c.id and stage = any((select $10::text[])::text[]) and status = any((select $8::text[])::text[])) as has_paid) paid
             left join lateral (
                  select sum(l.quantity)::bigint as units
                    from orders o join reservations r on r.order_id = o.id
                    join reservation_lines l on l.reservation_id = r.id
                   where o.customer_id = c.id and o.stage = any((select $9::text[])::text[]) and o.status = any((select $7::text[])::text[])) held on not paid.has_paid
           union all select resource, false, 0, false, 0 from key"#,
        &customers,
        &callers,
        &keys,
        &hashes,
        &ids,
        idempotency::KEY_LIFETIME as _,
        &Status::names(Status::is_unpaid) as &[&str],
        &Status::names(Status::is_charged) as &[&str],
        &Status::stages(Status::is_unpaid) as &[&str],
        &Status::stages(Status::is_charged) as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let (customers, keys): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_customer);
    let unpaid = |orders, has_paid, units| EarlyUnpaid { orders, has_paid, units };
    let customers = customers.into_iter().map(|row| (row.id, unpaid(row.orders, row.has_paid, row.units))).collect();
    Ok(TakenKeys {
        customers: limits_customers.then_some(customers),
        keys: keys.into_iter().map(|row| row.id).collect(),
    })
}

/// Answers the orders whose key was used before. A key that is neither taken nor found here belongs to another batch that
/// has not committed yet.
pub(super) async fn placed_under_keys(
    conn: &mut PgConnection,
    batch: &[PlaceOrder],
    taken: &TakenKeys,
) -> Result<HashMap<OrderId, Placement>> {
    let asked: Vec<&PlaceOrder> = batch.iter().filter(|order| order.key.is_some() && !taken.has_key(order)).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let (callers, keys) = keys(&asked);
    let rows = read::by_keys(conn, &callers, &keys).await?;
    let mut found = HashMap::new();
    for order in asked {
        let Some((key, hash)) = &order.key else { continue };
        let row = rows.iter().find(|row| row.caller_id == order.placed_by.id && row.key == key.as_str());
        let placement = match row.map(|row| (row, &row.order)) {
            None => continue,
            Some((row, Some(view))) if row.body_hash == hash.as_bytes() => {
                let placed = Box::new(as_placed(view.clone()));
                // With our own id it was placed by an attempt whose answer was lost.
                if view.id == order.id { Placement::Placed(placed, None) } else { Placement::Replayed(placed) }
            }
            // Another body, or the key was used for something that is no order.
            Some(_) => Placement::Refused(Error::IdempotencyKeyReused),
        };
        found.insert(order.id, placement);
    }
    Ok(found)
}

/// The orders of a batch that exist, because an earlier attempt was committed although its answer was lost.
pub(super) async fn existing(conn: &mut PgConnection, batch: &[PlaceOrder]) -> Result<HashMap<OrderId, Placement>> {
    let ids: Vec<OrderId> = batch.iter().map(|order| order.id).collect();
    let found = read::by_ids(conn, &ids).await?;
    Ok(found.into_iter().map(|view| (view.id, Placement::Placed(Box::new(as_placed(view)), None))).collect())
}

/// Locks the stock of all products of the batch, in the order (product, warehouse), and reads it.
///
/// The rows of inactive warehouses are locked too: a retry must wait for the attempt before it, even if a warehouse was
/// deactivated meanwhile. After a lock wait only the locked rows are current, so everything else is read by the next
/// statement.
pub(super) async fn lock_stock(conn: &mut PgConnection, batch: &[&PlaceOrder]) -> Result<Vec<StockRow>> {
    let (ids, skus) = products(batch);
    let rows = sqlx::query!(
        r#"select i.product_id, i.warehouse_id, i.on_hand, i.reserved, i.reorder_level
             from inventory i
            where i.product_id in (select unnest((select $1::uuid[])) union select id from products where sku = any((select $2::text[])::text[]))
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
            on_hand: row.on_hand,
            reserved: row.reserved,
            reorder_level: row.reorder_level,
        })
        .collect())
}

/// Prices, warehouses and what customers hold unpaid, in one statement that sees everything that was committed before the
/// stock was locked.
pub(super) async fn present(conn: &mut PgConnection, batch: &[&PlaceOrder], terms: &PlacingTerms) -> Result<Present> {
    let (ids, skus) = products(batch);
    let customers: HashSet<Uuid> = batch.iter().map(|order| order.customer_id.0).collect();
    let customers: Vec<Uuid> = customers.into_iter().filter(|_| terms.limits_customers()).collect();
    let row = sqlx::query!(
        r#"select
             (select coalesce(jsonb_agg(jsonb_build_object('id', id, 'sku', sku, 'name', name,
                         'price_minor', price_minor, 'currency', currency, 'active', active)), '[]')
                from products
               where id in (select unnest((select $1::uuid[])) union select id from products where sku = any((select $2::text[])::text[])))
               as "products!: Json<Vec<PricedProduct>>",
             (select coalesce(jsonb_object_agg(id, priority), '{}') from warehouses where active)
               as "warehouses!: Json<HashMap<WarehouseId, i32>>",
             (select coalesce(jsonb_object_agg(c.id, jsonb_build_object('orders', open.orders, 'has_paid', paid.has_paid,
                         'units', coalesce(held.units, '{}'), 'value', coalesce(owed.value, '{}'))), '{}')
                from unnest((select $3::uuid[])) c (id)
               cross join lateral (
                     select count(*) as orders from orders where customer_id = c.id and stage = any((select $6::text[])::text[]) and status = any((select $4::text[])::text[])) open
               cross join lateral (
                     select exists (select from orders where customer_id = c.id and stage = any((select $7::text[])::text[]) and status = any((select $5::text[])::text[])) as has_paid) paid
                left join lateral (
                     select jsonb_object_agg(product_id, units) as units
                       from (select l.product_id, sum(l.quantity) as units
                               from orders o join reservations r on r.order_id = o.id
                               join reservation_lines l on l.reservation_id = r.id
                              where o.customer_id = c.id and o.stage = any((select $6::text[])::text[]) and o.status = any((select $4::text[])::text[])
                              group by l.product_id) by_product) held on not paid.has_paid and open.orders > 0
                left join lateral (
                     select jsonb_object_agg(currency, total) as value
                       from (select currency, least(sum(total_minor), 9223372036854775807)::bigint as total from orders
                              where customer_id = c.id and stage = any((select $6::text[])::text[]) and status = any((select $4::text[])::text[])
                              group by currency) by_currency) owed on not paid.has_paid and open.orders > 0)
               as "unpaid!: Json<HashMap<CustomerId, Unpaid>>""#,
        &ids,
        &skus,
        &customers,
        &Status::names(Status::is_unpaid) as &[&str],
        &Status::names(Status::is_charged) as &[&str],
        &Status::stages(Status::is_unpaid) as &[&str],
        &Status::stages(Status::is_charged) as &[&str],
    )
    .fetch_one(conn)
    .await?;
    Ok(Present { products: row.products.0, warehouses: row.warehouses.0, unpaid: row.unpaid.0 })
}

fn products(batch: &[&PlaceOrder]) -> (Vec<Uuid>, Vec<String>) {
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

/// The people and keys of the orders that have a key, as two columns.
pub(super) fn keys(orders: &[&PlaceOrder]) -> (Vec<Uuid>, Vec<String>) {
    orders
        .iter()
        .filter_map(|order| order.key.as_ref().map(|(key, _)| (order.placed_by.id, key.as_str().to_owned())))
        .unzip()
}
