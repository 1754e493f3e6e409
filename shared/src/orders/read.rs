//! Reading orders: one, many, their timelines. Writes nothing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::filter;
pub use super::filter::OrderFilter;
use super::status::{Edge, Status};
use super::{NextAction, OrderCustomer, OrderItem, OrderPayment, OrderShipment, OrderView, Who};
use crate::error::{Error, Resource, Result};
use crate::months;
use crate::page::{IdRange, List, MAX_LIMIT, Page, Position};
use crate::platform::db::CustomPlan;
use crate::principal::{Permission, Principal};
use crate::values::{Address, CustomerId, Money, OrderId, OrderNumber, ProductId, Sku};

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "sequence": 3, "type": "cancelling", "at": "2026-11-21T09:30:00Z",
    "data": { "reason": "ordered twice", "by": { "id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01", "name": "Sam Staff" } }
}))]
pub struct OrderEvent {
    /// Counts from 1 for each order, without gaps
    pub sequence: i32,
    pub r#type: String,
    pub at: DateTime<Utc>,
    /// Depends on the type. `by` is always there: the person who did it, or null for the system. `sourcing`,
    /// `warehouse_id` and the `text` of a note are for staff only
    #[schema(value_type = Object)]
    pub data: Value,
}

/// One order. For a customer, somebody else's order does not exist.
pub async fn get(conn: &mut PgConnection, caller: &Principal, id: OrderId) -> Result<OrderView> {
    require_visible(conn, caller, id).await?;
    let order = by_ids(conn, &[id]).await?.pop().ok_or(Error::NotFound(Resource::Order))?;
    Ok(for_caller(order, caller))
}

/// The id of the order with this number. For a customer, somebody else's order does not exist.
pub async fn id_of_number(conn: &mut PgConnection, caller: &Principal, number: OrderNumber) -> Result<OrderId> {
    let id = sqlx::query_scalar!(r#"select id as "id: OrderId" from orders where number = $1"#, number.0)
        .fetch_optional(&mut *conn)
        .await?
        .ok_or(Error::NotFound(Resource::Order))?;
    require_visible(conn, caller, id).await?;
    Ok(id)
}

/// The caller's own orders, or all of them for staff; newest first.
pub async fn list(
    conn: &mut PgConnection,
    caller: &Principal,
    filter: OrderFilter,
    page: Page,
) -> Result<List<OrderView>> {
    if caller.may(Permission::OrdersRead) && !filter.is_plain() {
        let ids = filter::ids(conn, &filter, &page).await?;
        let orders = in_order(by_ids(conn, &ids.data).await?, &ids.data);
        let orders = orders.into_iter().map(|order| for_caller(order, caller)).collect();
        return Ok(List { data: orders, next_cursor: ids.next_cursor });
    }
    if filter.is_for_staff() {
        return Err(Error::Forbidden { needed: "staff" });
    }
    let customers = match (caller.may(Permission::OrdersRead), filter.customer_id) {
        (true, None) => None,
        (true, Some(customer_id)) => Some(vec![customer_id.0]),
        (false, asked) => Some(own_customers(conn, caller, asked).await?),
    };
    let ids = match customers {
        None => match filter.status {
            None => ids_of_all(conn, &filter, page).await?,
            Some(status) => ids_in_state(conn, status, &filter, page).await?,
        },
        Some(customers) => ids_of_customers(conn, &customers, &filter, page).await?,
    };
    let ids = page.list(ids, |id| Position::from(id.0));
    let orders = by_ids(conn, &ids.data).await?;
    Ok(List { data: orders.into_iter().map(|order| for_caller(order, caller)).collect(), next_cursor: ids.next_cursor })
}

fn in_order(mut orders: Vec<OrderView>, ids: &[OrderId]) -> Vec<OrderView> {
    orders.sort_by_key(|order| ids.iter().position(|id| *id == order.id));
    orders
}

/// An order's timeline, oldest event first.
pub async fn events(conn: &mut PgConnection, caller: &Principal, id: OrderId, page: Page) -> Result<List<OrderEvent>> {
    require_visible(conn, caller, id).await?;
    let after = page.after.map_or(0, |position| i32::try_from(position.rank).unwrap_or(i32::MAX));
    let rows = sqlx::query_as!(
        OrderEvent,
        r#"select sequence, type as "type", created_at as at, data from order_events
            where order_id = $1 and sequence > $2 order by sequence limit $3"#,
        id.0,
        after,
        page.fetch(),
    )
    .fetch_all(&mut *conn)
    .await?;
    if rows.is_empty() {
        months::require_here(conn, id).await?;
    }
    let events = rows.into_iter().map(|event| event.for_caller(caller)).collect();
    Ok(page.list(events, |event| Position { rank: event.sequence.into(), id: id.0 }))
}

/// The timeline of an order for its page; empty if only the archive has it.
pub async fn timeline(conn: &mut PgConnection, caller: &Principal, order: &OrderView) -> Result<Vec<OrderEvent>> {
    if order.archive.is_some() {
        return Ok(Vec::new());
    }
    Ok(events(conn, caller, order.id, Page::parse(Some(MAX_LIMIT), None, "")?).await?.data)
}

pub(super) async fn last_event(conn: &mut PgConnection, id: OrderId) -> Result<Option<OrderEvent>> {
    Ok(sqlx::query_as!(
        OrderEvent,
        r#"select sequence, type as "type", created_at as at, data from order_events
            where order_id = $1 order by sequence desc limit 1"#,
        id.0,
    )
    .fetch_optional(conn)
    .await?)
}

pub(crate) async fn require_visible(conn: &mut PgConnection, caller: &Principal, id: OrderId) -> Result<()> {
    let visible = sqlx::query_scalar!(
        r#"select $2 or c.user_id is not distinct from $3 as "visible!"
             from orders o join customers c on c.id = o.customer_id where o.id = $1"#,
        id.0,
        caller.sees_all_orders(),
        caller.user_id().map(|id| id.0),
    )
    .fetch_optional(conn)
    .await?;
    if visible == Some(true) { Ok(()) } else { Err(Error::NotFound(Resource::Order)) }
}

/// Customers do not see from where their order comes: warehouses, and what each of them lacks, are the shop's business. Keys
/// see who ordered only with `customers:read`.
pub(super) fn for_caller(mut order: OrderView, caller: &Principal) -> OrderView {
    if !caller.may(Permission::CustomersRead) {
        order.customer = None;
    }
    if !caller.sees_all_orders() {
        order.shipments.iter_mut().for_each(|shipment| shipment.warehouse_id = None);
    }
    order
}

impl OrderEvent {
    /// As `for_caller`, and without the text of notes, which staff write for each other.
    pub(super) fn for_caller(mut self, caller: &Principal) -> Self {
        if caller.sees_all_orders() {
            return self;
        }
        let Some(data) = self.data.as_object_mut() else { return self };
        data.remove("sourcing");
        data.remove("text");
        let shipments = data.get_mut("shipments").and_then(Value::as_array_mut);
        for shipment in shipments.into_iter().flatten().filter_map(Value::as_object_mut) {
            shipment.remove("warehouse_id");
        }
        self
    }
}

/// The customer records of this user, or the one of them that was asked for.
async fn own_customers(conn: &mut PgConnection, caller: &Principal, asked: Option<CustomerId>) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select id from customers where user_id = $1 and ($2::uuid is null or id = $2)",
        caller.user_id().map(|id| id.0),
        asked.map(|id| id.0),
    )
    .fetch_all(conn)
    .await?)
}

async fn ids_of_all(conn: &mut PgConnection, filter: &OrderFilter, page: Page) -> Result<Vec<OrderId>> {
    let range = IdRange::between(filter.from, filter.to);
    Ok(sqlx::query_scalar!(
        r#"select id as "id: OrderId" from orders
            where ($1::uuid is null or id < $1)
              and ($2::uuid is null or id >= $2) and ($3::timestamptz is null or created_at >= $3)
              and ($4::uuid is null or id < $4) and ($5::timestamptz is null or created_at < $5)
            order by id desc limit $6"#,
        page.after_id(),
        range.low,
        filter.from,
        range.high,
        filter.to,
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?)
}

/// Compares and sorts by stage and id together, so that only the index on both fits. For a state that most orders have,
/// Postgres would walk along the ids instead: past all orders that are newer and not that far yet.
async fn ids_in_state(
    conn: &mut PgConnection,
    status: Status,
    filter: &OrderFilter,
    page: Page,
) -> Result<Vec<OrderId>> {
    let range = IdRange::between(filter.from, filter.to);
    let before = [page.after_id(), range.high].into_iter().flatten().min();
    Ok(sqlx::query_scalar!(
        r#"select id as "id: OrderId" from orders
            where (stage, id) >= ($1, $2) and (stage, id) < ($1, $3) and status = $4
              and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
            order by stage desc, id desc limit $7"#,
        status.stage(),
        range.low.unwrap_or(Uuid::nil()),
        before.unwrap_or(Uuid::max()),
        status as Status,
        filter.from,
        filter.to,
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?)
}

/// Orders of a filter that may still be cancelled, the oldest first: after one of them, up to one of them.
pub(crate) async fn ids_to_cancel(
    conn: &mut PgConnection,
    filter: &OrderFilter,
    after: Option<Uuid>,
    upto: Option<Uuid>,
    limit: i64,
) -> Result<Vec<OrderId>> {
    let range = IdRange::between(filter.from, filter.to);
    let can_be_cancelled = |status| Edge::CANCEL.from.contains(&status);
    Ok(sqlx::query_scalar!(
        r#"select id as "id: OrderId" from orders
            where status = any($1) and stage = any($11)
              and ($2::text is null or status = $2) and ($3::uuid is null or customer_id = $3)
              and ($4::uuid is null or id > $4) and ($5::uuid is null or id <= $5)
              and ($6::uuid is null or id >= $6) and ($7::timestamptz is null or created_at >= $7)
              and ($8::uuid is null or id < $8) and ($9::timestamptz is null or created_at < $9)
            order by id limit $10"#,
        &Status::names(can_be_cancelled) as &[&str],
        filter.status as Option<Status>,
        filter.customer_id.map(|id| id.0),
        after,
        upto,
        range.low,
        filter.from,
        range.high,
        filter.to,
        limit,
        &Status::stages(can_be_cancelled) as &[&str],
    )
    .fetch_all(CustomPlan(conn))
    .await?)
}

/// The newest orders of each customer, then the newest of those: each customer's part is one index scan.
async fn ids_of_customers(
    conn: &mut PgConnection,
    customers: &[Uuid],
    filter: &OrderFilter,
    page: Page,
) -> Result<Vec<OrderId>> {
    let range = IdRange::between(filter.from, filter.to);
    Ok(sqlx::query_scalar!(
        r#"select o.id as "id: OrderId"
             from unnest($8::uuid[]) customer (id)
            cross join lateral (
                  select id from orders
                   where customer_id = customer.id
                     and ($1::text is null or (status = $1 and stage = $9))
                     and ($2::uuid is null or id < $2)
                     and ($3::uuid is null or id >= $3) and ($4::timestamptz is null or created_at >= $4)
                     and ($5::uuid is null or id < $5) and ($6::timestamptz is null or created_at < $6)
                   order by id desc limit $7) o
            order by o.id desc limit $7"#,
        filter.status as Option<Status>,
        page.after_id(),
        range.low,
        filter.from,
        range.high,
        filter.to,
        page.fetch(),
        customers,
        filter.status.map(Status::stage),
    )
    .fetch_all(CustomPlan(conn))
    .await?)
}

/// What an idempotency key was used for.
pub(super) struct UsedKey {
    pub caller_id: Uuid,
    pub key: String,
    pub body_hash: Vec<u8>,
    pub order: Option<OrderView>,
}

pub(super) async fn by_keys(conn: &mut PgConnection, callers: &[Uuid], keys: &[String]) -> Result<Vec<UsedKey>> {
    let rows = sqlx::query!(
        "select caller_id, key, body_hash, resource from idempotency_keys
          where (caller_id, key) in (select * from unnest((select $1::uuid[]), (select $2::text[])))",
        callers,
        keys,
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<OrderId> = rows.iter().filter_map(|row| row.resource).map(OrderId).collect();
    let orders = if ids.is_empty() { Vec::new() } else { by_ids(conn, &ids).await? };
    let orders: HashMap<Uuid, OrderView> = orders.into_iter().map(|order| (order.id.0, order)).collect();
    Ok(rows
        .into_iter()
        .map(|row| UsedKey {
            caller_id: row.caller_id,
            key: row.key,
            body_hash: row.body_hash,
            order: row.resource.and_then(|id| orders.get(&id).cloned()),
        })
        .collect())
}

#[derive(Debug, Deserialize)]
struct ItemRow {
    product_id: ProductId,
    sku: Sku,
    name: String,
    quantity: i32,
    unit_price_minor: i64,
}

/// The job that an order waits for.
#[derive(Debug, Deserialize)]
struct JobRow {
    state: String,
    run_at: DateTime<Utc>,
    is_late: bool,
}

/// Orders by their ids, in that order; one that does not exist is left out.
pub(super) async fn by_ids(conn: &mut PgConnection, ids: &[OrderId]) -> Result<Vec<OrderView>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let (first, last) = months::reach(&ids);
    let rows = sqlx::query!(
        r#"select o.id, o.number, o.status as "status: Status", o.customer_id, c.name, c.email, o.currency, o.total_minor,
                  o.shipping_address as "shipping_address: Json<Address>", o.cancel_reason, o.version,
                  o.created_at, o.updated_at,
                  (select jsonb_agg(jsonb_build_object('product_id', product_id, 'sku', sku, 'name', name,
                              'quantity', quantity, 'unit_price_minor', unit_price_minor) order by line)
                     from order_items where order_id = o.id
                      and order_id >= case when now() is not null then $3::uuid end
                      and order_id <= case when now() is not null then $4::uuid end) as "items: Json<Vec<ItemRow>>",
                  (select jsonb_agg(jsonb_build_object('id', id, 'warehouse_id', warehouse_id, 'status', state,
                              'tracking_number', tracking_number, 'shipped_at', shipped_at, 'delivered_at', delivered_at)
                              order by id)
                     from shipments where order_id = o.id) as "shipments: Json<Vec<OrderShipment>>",
                  (select jsonb_build_object(
                              'status', case state when 'started' then 'pending' else state end,
                              'amount', jsonb_build_object('amount', amount_minor, 'currency', currency),
                              'manual', manual, 'at', updated_at)
                     from charges where order_id = o.id
                    order by manual desc limit 1) as "payment: Json<OrderPayment>",
                  (select jsonb_build_object('state', state, 'run_at', run_at,
                              'is_late', state = 'ready' and run_at <= now() - interval '1 minute')
                     from jobs
                    where order_id = o.id and state <> 'done'
                      and kind = $2::jsonb ->> o.status
                    order by state in ('dead', 'discarded'), run_at limit 1) as "job: Json<JobRow>"
             from unnest((select $1::uuid[])) with ordinality asked (id, place)
             join orders o on o.id = asked.id
             join customers c on c.id = o.customer_id
            order by asked.place"#,
        &ids,
        Json(Status::next_jobs()) as _,
        first,
        last,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut orders: Vec<OrderView> = rows
        .into_iter()
        .map(|row| {
            let total = Money::stored(row.total_minor, &row.currency);
            OrderView {
                id: OrderId(row.id),
                number: OrderNumber(row.number).to_string(),
                status: row.status,
                customer_id: CustomerId(row.customer_id),
                customer: Some(OrderCustomer { id: CustomerId(row.customer_id), name: row.name, email: row.email }),
                items: row.items.into_iter().flat_map(|Json(items)| items).map(|item| item_view(item, total)).collect(),
                archive: None,
                total,
                shipping_address: row.shipping_address.0,
                payment: row.payment.map(|payment| payment.0),
                shipments: row.shipments.map_or_else(Vec::new, |shipments| shipments.0),
                cancel_reason: row.cancel_reason,
                next_action: next_action(row.status, row.job.map(|job| job.0), row.updated_at),
                version: row.version,
                created_at: row.created_at,
                updated_at: row.updated_at,
            }
        })
        .collect();
    // Every order has items. One without was moved to the archive.
    let moved: Vec<OrderId> = orders.iter().filter(|order| order.items.is_empty()).map(|order| order.id).collect();
    if !moved.is_empty() {
        let parts = months::archived(conn, &moved).await?;
        for order in &mut orders {
            order.archive = parts.get(&order.id).cloned();
        }
    }
    Ok(orders)
}

fn item_view(item: ItemRow, total: Money) -> OrderItem {
    let money = |amount| Money { amount, currency: total.currency };
    OrderItem {
        product_id: item.product_id,
        sku: item.sku,
        name: item.name,
        quantity: item.quantity,
        unit_price: money(item.unit_price_minor),
        total: money(item.unit_price_minor * i64::from(item.quantity)),
    }
}

/// What an order waits for: its job, or staff where the job is dead, discarded or missing.
fn next_action(status: Status, job: Option<JobRow>, since: DateTime<Utc>) -> Option<NextAction> {
    let what = status.waits_for()?.what;
    let (by, due_at, delayed) = match job {
        Some(job) if job.state == "ready" || job.state == "running" => (Who::Worker, job.run_at, job.is_late),
        _ => (Who::Staff, since, false),
    };
    Some(NextAction { what: what.to_owned(), by, due_at, delayed })
}
