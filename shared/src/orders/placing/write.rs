//! The one statement that writes a batch of orders. It fills the tables of other modules too (`reservations`,
//! `reservation_lines`, `inventory`, `stock_movements`, `jobs`, `idempotency_keys`): one round trip while hot stock is
//! locked, instead of eight.
//!
//! Its parameters are one array for each column. Arrays of composite types would name them, but such a type is part of
//! the schema: adding a field to it breaks the processes of the older version during a rolling deployment.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgTransaction;
use uuid::Uuid;

use super::super::event::Event;
use super::super::jobs::ProcessPayment;
use super::decide::Accepted;
use super::request::{PlaceOrder, PlacingTerms};
use super::statements::keys;
use crate::error::{Error, Result};
use crate::queue::{Job, Queue};
use crate::values::{JobId, OrderId};

/// What the database has added to an order.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub number: i64,
    pub created_at: DateTime<Utc>,
    pub job_id: JobId,
}

/// Everything that is written, one array for each column. The fields are in the order of the statement's parameters.
///
/// Three arrays of composite types would be fewer parameters. But such a type would be part of the schema: while a release
/// is rolled out, old processes would still send it without a new field, and each field would take three releases.
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
    event: Vec<Value>,
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
        to.placed_by.push(order.placed_by.id);
        to.currency.push(accepted.total.currency.to_string());
        to.total.push(accepted.total.amount);
        to.address.push(serde_json::json!(order.shipping_address));
        to.token.push(order.payment_token.expose().to_owned());
        to.reservation.push(reservation);
        let placed = Event::Placed { total: accepted.total, sourcing: accepted.sourced.clone() };
        let (_, event) = placed.columns(Some(&order.placed_by));
        to.event.push(event);
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
            to.actor.push(order.placed_by.id);
        }
    }
}

/// Writes the accepted orders and everything that belongs to them, and frees the keys of refused orders.
///
/// The stock is locked. So a row of stock that is not updated is a bug, and then nothing is written.
pub(super) async fn write(
    tx: &mut PgTransaction<'_>,
    accepted: &[(&PlaceOrder, &Accepted)],
    keys_to_free: &[&PlaceOrder],
    terms: &PlacingTerms,
) -> Result<HashMap<OrderId, Written>> {
    let Columns { order, item, allocation } = Columns::of(accepted);
    let (freed_callers, freed_keys) = keys(keys_to_free);
    let rows = sqlx::query!(
        r#"with o as materialized (
               select * from unnest((select $1::uuid[]), $2::uuid[], $3::uuid[],
                                    $4::text[], $5::bigint[], $6::jsonb[], $7::text[],
                                    $8::uuid[], $9::jsonb[],
                                    $10::uuid[], $11::jsonb[], $12::text[], $13::text[])
                               as t (id, customer_id, placed_by,
                                     currency, total, address, token,
                                     reservation_id, event,
                                     job_id, args, request_id, trace_parent)
           ), a as materialized (
               select * from unnest((select $14::uuid[]), $15::uuid[], $16::uuid[], $17::uuid[], $18::int[], $19::uuid[])
                               as t (order_id, reservation_id, product_id, warehouse_id, quantity, actor_id)
           ), i as (
               select * from unnest((select $20::uuid[]), $21::smallint[], $22::uuid[], $23::text[], $24::text[], $25::int[], $26::bigint[])
                               as t (order_id, line, product_id, sku, name, quantity, unit_price_minor)
           ), wanted as (
               select product_id, warehouse_id, sum(quantity)::int as quantity from a group by product_id, warehouse_id
           ), stocked as (
               update inventory s set reserved = s.reserved + w.quantity, updated_at = statement_timestamp()
                 from wanted w where s.product_id = w.product_id and s.warehouse_id = w.warehouse_id
               returning 1
           ), placed as (
               insert into orders (id, customer_id, placed_by, currency, total_minor, shipping_address, payment_token)
               select id, customer_id, placed_by, currency, total, address, token from o
               returning id, number, created_at
           ), item as (
               insert into order_items (order_id, line, product_id, sku, name, quantity, unit_price_minor)
               select order_id, line, product_id, sku, name, quantity, unit_price_minor from i
           ), reservation as (
               insert into reservations (id, order_id, expires_at, created_by)
               select reservation_id, id, statement_timestamp() + make_interval(secs => $27), placed_by from o
           ), line as (
               insert into reservation_lines (reservation_id, product_id, warehouse_id, quantity)
               select reservation_id, product_id, warehouse_id, quantity from a
           ), movement as (
               insert into stock_movements (product_id, warehouse_id, reserved_delta, reason, actor_id, order_id, reservation_id)
               select product_id, warehouse_id, quantity, 'reserved', actor_id, order_id, reservation_id from a
           ), event as (
               insert into order_events (order_id, sequence, type, data) select id, 1, 'placed', event from o
           ), job as (
               insert into jobs (id, queue, kind, version, args, max_attempt, order_id, request_id, trace_parent)
               select job_id, $28::queue, $29, $30, args, $31, id, request_id, trace_parent from o
           ), freed as (
               delete from idempotency_keys where (caller_id, key) in (select * from unnest((select $32::uuid[]), $33::text[]))
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
        &order.event,
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
        ProcessPayment::QUEUE as Queue,
        ProcessPayment::KIND,
        ProcessPayment::VERSION,
        terms.max_attempts,
        &freed_callers,
        &freed_keys,
    )
    .fetch_all(&mut **tx)
    .await?;
    if rows.len() != accepted.len() || !rows.iter().all(|row| row.complete) {
        return Err(Error::internal("a batch did not update every row of stock that it has locked"));
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let written = Written { number: row.number, created_at: row.created_at, job_id: JobId(row.job_id) };
            (OrderId(row.id), written)
        })
        .collect())
}
