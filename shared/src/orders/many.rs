//! Reads what belongs to many orders or many customers with the same number of statements as for one. Writes no table.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::OrderView;
use super::read::{self, OrderEvent};
use crate::error::Result;
use crate::months;
use crate::page::{List, Page, Position};
use crate::platform::db::CustomPlan;
use crate::principal::{Permission, Principal};
use crate::values::{CustomerId, OrderId};

struct EventRow {
    order_id: Uuid,
    sequence: i32,
    r#type: String,
    at: DateTime<Utc>,
    data: Value,
}

/// The same page of the timelines of these orders, oldest event first. The caller must have been shown the orders before.
pub async fn events(
    conn: &mut PgConnection,
    caller: &Principal,
    orders: &[OrderId],
    page: &Page,
) -> Result<HashMap<OrderId, List<OrderEvent>>> {
    let after = page.after.map_or(0, |position| i32::try_from(position.rank).unwrap_or(i32::MAX));
    let ids: Vec<Uuid> = orders.iter().map(|id| id.0).collect();
    let (first, last) = months::reach(&ids);
    let rows = sqlx::query_as!(
        EventRow,
        r#"select asked.id as "order_id!", e.sequence, e.type as "type", e.created_at as at, e.data
             from unnest((select $1::uuid[])) asked (id)
            cross join lateral (
                  select sequence, type, created_at, data from order_events
                   where order_id = asked.id and sequence > $2
                     and order_id >= case when now() is not null then $4::uuid end
                     and order_id <= case when now() is not null then $5::uuid end
                   order by sequence limit $3) e
            order by asked.id, e.sequence"#,
        &ids,
        after,
        page.fetch(),
        first,
        last,
    )
    .fetch_all(conn)
    .await?;
    let mut timelines: HashMap<OrderId, Vec<OrderEvent>> = HashMap::new();
    for row in rows {
        let event = OrderEvent { sequence: row.sequence, r#type: row.r#type, at: row.at, data: row.data };
        timelines.entry(OrderId(row.order_id)).or_default().push(event.for_caller(caller));
    }
    let list = |(id, events)| (id, page.list(events, |event| event_position(id, event)));
    Ok(timelines.into_iter().map(list).collect())
}

/// The place of an event in its timeline.
pub fn event_position(order: OrderId, event: &OrderEvent) -> Position {
    Position { rank: event.sequence.into(), id: order.0 }
}

/// The same page of the orders of each of these customers, newest first. A caller who may not read all orders gets those of
/// their own customers only.
pub async fn of_customers(
    conn: &mut PgConnection,
    caller: &Principal,
    customers: &[CustomerId],
    page: &Page,
) -> Result<HashMap<CustomerId, List<OrderView>>> {
    let ids = sqlx::query!(
        r#"select c.id as "customer_id: CustomerId", o.id as "order_id: OrderId"
             from customers c
            cross join lateral (
                  select id from orders
                   where customer_id = c.id and ($4::uuid is null or id < $4)
                   order by id desc limit $5) o
            where c.id = any($1) and ($2 or c.user_id = $3)
            order by c.id, o.id desc"#,
        &customers.iter().map(|id| id.0).collect::<Vec<_>>(),
        caller.may(Permission::OrdersRead),
        caller.user_id().map(|id| id.0),
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(CustomPlan(&mut *conn))
    .await?;
    let mut of_each: HashMap<CustomerId, Vec<OrderId>> = HashMap::new();
    for row in ids {
        of_each.entry(row.customer_id).or_default().push(row.order_id);
    }
    let pages: HashMap<CustomerId, List<OrderId>> =
        of_each.into_iter().map(|(id, orders)| (id, page.list(orders, |order| Position::from(order.0)))).collect();
    let wanted: Vec<OrderId> = pages.values().flat_map(|page| page.data.iter().copied()).collect();
    let orders = read::by_ids(conn, &wanted).await?;
    let mut orders: HashMap<OrderId, OrderView> =
        orders.into_iter().map(|order| (order.id, read::for_caller(order, caller))).collect();
    let fill = |(id, page): (CustomerId, List<OrderId>)| {
        let data = page.data.iter().filter_map(|order| orders.remove(order)).collect();
        (id, List { data, next_cursor: page.next_cursor })
    };
    Ok(pages.into_iter().map(fill).collect())
}
