//! Small numbers that change when something changes, so that an open page knows when to ask for itself again. Writes no
//! table.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::values::OrderId;

/// What can change on the pages of the console. Every part is found by an index or is tiny.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    newest: Newest,
    orders: BTreeMap<OrderId, FollowedOrder>,
}

/// The newest row of each table that only grows, and the state of those that are small.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Newest {
    order: Option<Uuid>,
    dead_job: Option<Uuid>,
    action: Option<Uuid>,
    audit_run: Option<Uuid>,
    queues: Option<String>,
    workers: Option<String>,
}

/// An order that somebody looks at: how many events it has, and how its jobs stand.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FollowedOrder {
    events: i32,
    jobs: Option<String>,
}

impl Versions {
    /// For a page that shows a bit of everything.
    pub fn everything(&self) -> impl std::fmt::Debug + PartialEq + use<'_> {
        &self.newest
    }

    /// For the page of one order.
    pub fn order(&self, id: OrderId) -> impl std::fmt::Debug + PartialEq + use<'_> {
        self.orders.get(&id)
    }
}

/// One round trip for everything, and one for the orders that are followed.
pub async fn read(conn: &mut PgConnection, followed: &[OrderId]) -> Result<Versions> {
    let newest = sqlx::query_as!(
        Newest,
        r#"select (select id from orders order by id desc limit 1) as "order",
                  (select id from jobs where state = 'dead' order by id desc limit 1) as dead_job,
                  (select id from actions order by id desc limit 1) as action,
                  (select id from audit_runs order by ran_at desc limit 1) as audit_run,
                  (select string_agg(q.name || ':' || q.paused, ',' order by q.name) from queues q) as queues,
                  (select string_agg(w.id::text, ',' order by w.id) from workers w
                    where w.heartbeat_at > now() - interval '15 seconds') as workers"#
    )
    .fetch_one(&mut *conn)
    .await?;
    if followed.is_empty() {
        return Ok(Versions { newest, orders: BTreeMap::new() });
    }
    let rows = sqlx::query!(
        r#"select o.id as "id: OrderId", o.event_sequence as events,
                  (select string_agg(j.state || j.attempt || j.run_at, ',' order by j.id) from jobs j where j.order_id = o.id)
                      as jobs
             from orders o where o.id = any($1)"#,
        followed as &[OrderId],
    )
    .fetch_all(conn)
    .await?;
    let orders = rows.into_iter().map(|row| (row.id, FollowedOrder { events: row.events, jobs: row.jobs })).collect();
    Ok(Versions { newest, orders })
}
