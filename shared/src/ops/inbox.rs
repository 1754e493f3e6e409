//! The orders that wait for a person: their job is dead or discarded, and no other job does the same. Writes no table.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::taken::{self, Taken};
use crate::error::Result;
use crate::orders::status::Status;
use crate::values::{JobId, Money, OrderId, OrderNumber};

/// Dead jobs, and discarded ones, that are looked at.
const MAX_JOBS: i64 = 5_000;
/// Orders of one answer. Who has more of them goes to the failures, where one press serves many.
const MAX_ORDERS: usize = 200;

/// By what the inbox is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboxOrder {
    Money,
    Age,
}

/// An order that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingOrder {
    pub id: OrderId,
    pub number: String,
    pub customer: String,
    pub status: Status,
    pub total: Money,
    pub job: JobId,
    pub kind: String,
    /// A dead job can be retried; a discarded one cannot.
    pub is_dead: bool,
    pub error: Option<String>,
    pub since: Option<DateTime<Utc>>,
    /// Somebody looks after it already.
    pub taken: Option<Taken>,
}

/// The orders that wait, and whether there may be more than these.
pub struct Inbox {
    pub orders: Vec<WaitingOrder>,
    pub more: bool,
}

pub async fn list(conn: &mut PgConnection, order: InboxOrder) -> Result<Inbox> {
    let rows = sqlx::query!(
        r#"with dead as materialized (
               select id, order_id, kind, state, error, finished_at, created_at from jobs where state = 'dead' order by id limit $1),
           discarded as materialized (
               select id, order_id, kind, state, error, finished_at, created_at from jobs where state = 'discarded'
                order by id desc limit $1),
           stuck as (select * from dead union all select * from discarded)
           select distinct on (o.id) o.id as "id!: OrderId", o.number as "number!", o.status as "status!: Status",
                  o.total_minor as "total!", o.currency as "currency!", c.name as "customer!", s.id as "job!: JobId", s.kind as "kind!",
                  s.state = 'dead' as "is_dead!", (select count(*) = $1 from dead) as "bounded!", s.error, coalesce(s.finished_at, s.created_at) as since
             from stuck s join orders o on o.id = s.order_id join customers c on c.id = o.customer_id
            where s.kind = $2::jsonb ->> o.status
              and not exists (select from jobs j where j.order_id = o.id and j.kind = s.kind and j.state in ('ready', 'running'))
            order by o.id, s.state = 'dead' desc, s.id desc"#,
        MAX_JOBS,
        Json(Status::next_jobs()) as _,
    )
    .fetch_all(&mut *conn)
    .await?;
    let bounded = rows.first().is_some_and(|row| row.bounded);
    let mut orders: Vec<WaitingOrder> = rows
        .into_iter()
        .map(|row| WaitingOrder {
            id: row.id,
            number: OrderNumber(row.number).to_string(),
            customer: row.customer,
            status: row.status,
            total: Money::stored(row.total, &row.currency),
            job: row.job,
            kind: row.kind,
            is_dead: row.is_dead,
            error: row.error,
            since: row.since,
            taken: None,
        })
        .collect();
    match order {
        InboxOrder::Money => orders.sort_by_key(|order| std::cmp::Reverse(order.total.amount)),
        InboxOrder::Age => orders.sort_by_key(|order| order.since),
    }
    let more = bounded || orders.len() > MAX_ORDERS;
    orders.truncate(MAX_ORDERS);
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id.0).collect();
    let mut taken: HashMap<OrderId, Taken> = taken::of_orders(conn, &ids).await?.into_iter().collect();
    for order in &mut orders {
        order.taken = taken.remove(&order.id);
    }
    Ok(Inbox { orders, more })
}
