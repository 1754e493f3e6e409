//! Numbers that change when something changes, for live pages: a page reads again what has a new number. One round trip of
//! index look-ups, however much there is. Writes no table.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Result;
use crate::queue::heartbeat::LIVE_WITHIN;
use crate::values::OrderId;

/// Compare it with an earlier one: what differs has changed. The values have no other meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Versions {
    /// The newest order
    pub orders: Option<Uuid>,
    /// The newest dead job
    pub dead: Option<Uuid>,
    /// The newest run of the audit
    pub audit: Option<Uuid>,
    /// The newest manual action
    pub actions: Option<Uuid>,
    /// The newest actions on many, and how far they are
    pub bulk: String,
    /// How often rows were written that lists show, as Postgres counts it: up to ten seconds late
    pub written: i64,
    /// Which queues are paused
    pub queues: String,
    /// Which workers live, and how much they run
    pub workers: String,
    /// Of each order that is followed and exists
    pub followed: BTreeMap<Uuid, OrderVersion>,
}

/// Changes with the order's timeline, and with each attempt of its jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderVersion {
    pub events: i32,
    pub jobs: String,
}

impl Versions {
    /// All but the orders that are followed.
    #[must_use]
    pub fn of_everything(&self) -> Self {
        Self { followed: BTreeMap::new(), ..self.clone() }
    }
}

/// The versions of everything, and of the orders that somebody looks at.
pub async fn read(conn: &mut PgConnection, followed: &[OrderId]) -> Result<Versions> {
    let followed: Vec<Uuid> = followed.iter().map(|id| id.0).collect();
    // `order by … limit 1`, because Postgres 16 has no `max` of an id. `written` counts the tables whose rows lists show and
    // that have no newest row to ask for. It takes their `tableoid` from a row: with Citus, the name is that of an empty table.
    let rows = sqlx::query!(
        r#"with everything as materialized (
               select (select id from orders order by id desc limit 1) as orders,
                      (select id from jobs where state = 'dead' order by id desc limit 1) as dead,
                      (select id from audit_runs order by ran_at desc limit 1) as audit,
                      (select id from actions order by id desc limit 1) as actions,
                      (select md5(string_agg(format('%s %s %s %s', id, state, done, refused), ',' order by id))
                         from (select * from bulk_actions order by id desc limit 100) newest) as bulk,
                      (select sum(pg_stat_get_tuples_inserted(relation) + pg_stat_get_tuples_updated(relation))::bigint
                         from (values ((select tableoid from orders order by id limit 1)),
                                      ((select tableoid from inventory order by id limit 1)),
                                      ((select tableoid from products order by id limit 1)),
                                      ((select tableoid from customers order by id limit 1)),
                                      ((select tableoid from users order by id limit 1))) listed (relation)) as written,
                      (select md5(string_agg(format('%s %s %s', name, paused, changed_at), ',' order by name))
                         from queues) as queues,
                      (select md5(string_agg(format('%s %s', id, running), ',' order by id)) from workers
                        where gone_at is null and heartbeat_at > now() - make_interval(secs => $2)) as workers)
           select orders as "orders?", dead as "dead?", audit as "audit?", actions as "actions?",
                  coalesce(bulk, '') as "bulk!", coalesce(written, 0) as "written!", coalesce(queues, '') as "queues!", coalesce(workers, '') as "workers!",
                  o.id as "id?", o.event_sequence as "events?",
                  coalesce((select md5(string_agg(format('%s %s %s', j.id, j.state, j.attempt), ',' order by j.id))
                              from jobs j where j.order_id = o.id), '') as "jobs!"
             from everything left join orders o on o.id = any($1)"#,
        &followed,
        LIVE_WITHIN.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    let order = |id: Option<Uuid>, events: Option<i32>, jobs: &str| {
        Some((id?, OrderVersion { events: events?, jobs: jobs.to_owned() }))
    };
    let followed = rows.iter().filter_map(|row| order(row.id, row.events, &row.jobs)).collect();
    let first = rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Versions {
        orders: first.orders,
        dead: first.dead,
        audit: first.audit,
        actions: first.actions,
        bulk: first.bulk,
        written: first.written,
        queues: first.queues,
        workers: first.workers,
        followed,
    })
}
