//! Dead jobs, grouped by their error: how many, what they cost, since when. Reading does not get slower with the number of
//! dead jobs: groups are found by jumping through an index, and counts have bounds. Writes no table.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::error::Result;
use crate::orders::status::Status;
use crate::values::{JobId, Money};

/// Groups of one answer. With more of them something else is wrong.
const MAX_GROUPS: i32 = 200;
/// Jobs of a group that are counted.
const MAX_COUNT: i64 = 10_000;
/// Orders of a group whose totals are added up.
const MAX_ORDERS: i64 = 2_000;

/// The jobs that died of one error.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "fingerprint": "9f2c66aa01d3", "kind": "process_payment", "error": "the payment provider is not available",
    "dead": 312, "more": false, "orders": 312, "at_risk": [{"amount": 4_122_000, "currency": "USD"}], "at_least": false,
    "sample": "0197a2c4-5d10-7cc3-98a1-3f2b6c8d9e01", "first_seen": "2026-11-21T08:15:00Z", "last_seen": "2026-11-21T08:52:00Z"
}))]
pub struct ErrorGroup {
    pub fingerprint: String,
    pub kind: String,
    /// The error of the newest job
    pub error: String,
    pub dead: i64,
    /// There are more than `dead`: counting stops at 10,000
    pub more: bool,
    /// Open orders that wait on them
    pub orders: i64,
    /// The totals of these orders, by currency
    pub at_risk: Vec<Money>,
    /// `orders` and `at_risk` are of the first 2,000 jobs only
    pub at_least: bool,
    /// The newest job
    pub sample: JobId,
    pub first_seen: Option<DateTime<Utc>>,
    pub last_seen: Option<DateTime<Utc>>,
}

/// Hours that `last_day` counts.
const HOURS: i32 = 24;
/// Failed attempts of an hour that are counted. A small line shows no more.
const MAX_OF_HOUR: i64 = 200;
/// Errors whose hours are counted.
const MAX_LINES: usize = 50;

/// How many attempts failed of each of these errors, hour by hour, until now.
pub async fn last_day(conn: &mut PgConnection, fingerprints: &[&str]) -> Result<HashMap<String, Vec<i64>>> {
    let first = &fingerprints[..fingerprints.len().min(MAX_LINES)];
    let rows = sqlx::query!(
        r#"select f.fingerprint as "fingerprint!",
                  array_agg((select count(*) from (
                      select from job_attempts a
                       where a.fingerprint = f.fingerprint
                         and a.ended_at >= now() - make_interval(hours => h) and a.ended_at < now() - make_interval(hours => h - 1)
                       limit $3) part) order by h desc) as "hours!"
             from unnest($1::text[]) f (fingerprint) cross join generate_series(1, $2::int) h
            group by f.fingerprint"#,
        first as &[&str],
        HOURS,
        MAX_OF_HOUR,
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.fingerprint, row.hours)).collect())
}

/// All errors that jobs are dead of now.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<ErrorGroup>> {
    // Each step of the recursion is one look-up in the index: the next error and kind.
    let keys = sqlx::query!(
        r#"with recursive grouped (fingerprint, kind, n) as (
               (select error_fingerprint, kind, 1 from jobs where state = 'dead' and error_fingerprint is not null
                 order by error_fingerprint, kind limit 1)
               union all
               select next.error_fingerprint, next.kind, g.n + 1
                 from grouped g
                cross join lateral (
                      select error_fingerprint, kind from jobs
                       where state = 'dead' and (error_fingerprint, kind) > (g.fingerprint, g.kind)
                       order by error_fingerprint, kind limit 1) next
                where g.n < $1)
           select fingerprint as "fingerprint!", kind as "kind!" from grouped"#,
        MAX_GROUPS,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut groups = Vec::new();
    for key in keys {
        groups.extend(group(conn, &key.fingerprint, &key.kind).await?);
    }
    groups.sort_by_key(|group| std::cmp::Reverse((group.at_risk.iter().map(|sum| sum.amount).max(), group.dead)));
    Ok(groups)
}

/// The groups of one error: mostly one, since the kind of the job is part of the fingerprint.
pub async fn of_fingerprint(conn: &mut PgConnection, fingerprint: &str) -> Result<Vec<ErrorGroup>> {
    let kinds = sqlx::query_scalar!(
        "select distinct kind from (select kind from jobs where state = 'dead' and error_fingerprint = $1
          order by kind, id limit $2) part",
        fingerprint,
        MAX_COUNT,
    );
    let kinds = kinds.fetch_all(&mut *conn).await?;
    let mut groups = Vec::new();
    for kind in kinds {
        groups.extend(group(conn, fingerprint, &kind).await?);
    }
    Ok(groups)
}

async fn group(conn: &mut PgConnection, fingerprint: &str, kind: &str) -> Result<Option<ErrorGroup>> {
    // Not materialized: each of the three looks at some rows of the index, not at all jobs of the group.
    let row = sqlx::query!(
        r#"with mine as not materialized (
               select id, error, finished_at from jobs where state = 'dead' and error_fingerprint = $1 and kind = $2)
           select (select count(*) from (select from mine order by id limit $3) part) as "dead!",
                  newest.id as "id?", newest.error as "error?", newest.finished_at as last_seen,
                  (select finished_at from mine order by id limit 1) as first_seen
             from (select) one left join lateral (select * from mine order by id desc limit 1) newest on true"#,
        fingerprint,
        kind,
        MAX_COUNT + 1,
    )
    .fetch_one(&mut *conn)
    .await?;
    let Some(id) = row.id else { return Ok(None) };
    let (orders, at_risk, at_least) = at_risk(conn, fingerprint, kind).await?;
    Ok(Some(ErrorGroup {
        fingerprint: fingerprint.to_owned(),
        kind: kind.to_owned(),
        error: row.error.unwrap_or_default(),
        dead: row.dead.min(MAX_COUNT),
        more: row.dead > MAX_COUNT,
        orders,
        at_risk,
        at_least,
        sample: JobId(id),
        first_seen: row.first_seen,
        last_seen: row.last_seen,
    }))
}

/// The open orders that wait on the first jobs of a group.
async fn at_risk(conn: &mut PgConnection, fingerprint: &str, kind: &str) -> Result<(i64, Vec<Money>, bool)> {
    let rows = sqlx::query!(
        r#"with part as materialized (
               select order_id from jobs where state = 'dead' and error_fingerprint = $1 and kind = $2 order by id limit $3)
           select o.currency as "currency?", count(o.id) as "orders!", coalesce(sum(o.total_minor), 0)::bigint as "total!",
                  (select count(*) from part) = $3 as "bounded!"
             from (select) one
             left join (select distinct order_id from part) s on true
             left join orders o on o.id = s.order_id and o.status = any($4)
            group by o.currency order by o.currency"#,
        fingerprint,
        kind,
        MAX_ORDERS,
        &Status::names(|status| !status.is_final()) as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let bounded = rows.iter().any(|row| row.bounded);
    let orders = rows.iter().map(|row| row.orders).sum();
    let sums = rows.into_iter().filter_map(|row| Some(Money::stored(row.total, &row.currency?))).collect();
    Ok((orders, sums, bounded))
}
