//! Adds statistics up to longer steps, and deletes what is too old.
//!
//! The last row of a step is made again each time, since the time that it covers may not be over. So a fold can be
//! repeated, and a row that was written late is not lost.

use sqlx::PgConnection;

use crate::error::Result;

/// From which step to which, both in seconds.
const FOLDS: [(i32, i32); 2] = [(10, 60), (60, 3600)];

/// How long the rows of each step are kept: enough for charts of an hour, a day and a year.
/// With it the next step, if there is one: rows that its last row is made of stay, since that row may be made again.
const KEPT: [(i32, &str, Option<i32>); 3] =
    [(10, "2 hours", Some(60)), (60, "48 hours", Some(3600)), (3600, "400 days", None)];

/// Adds up what was written since the last fold.
pub async fn fold(conn: &mut PgConnection) -> Result<()> {
    for (from, to) in FOLDS {
        fold_jobs(conn, from, to).await?;
        fold_queues(conn, from, to).await?;
        fold_orders(conn, from, to).await?;
        fold_requests(conn, from, to).await?;
    }
    Ok(())
}

async fn fold_jobs(conn: &mut PgConnection, from: i32, to: i32) -> Result<()> {
    sqlx::query!(
        "insert into job_history (step, at, queue, kind, outcome, count, ran, waited)
         select $2::int, date_bin($2 * interval '1 second', at, 'epoch'), queue, kind, outcome, sum(count), sum_arrays(ran),
                sum_arrays(waited)
           from job_history
          where step = $1 and at >= coalesce((select max(at) from job_history where step = $2), '-infinity')
          group by 2, queue, kind, outcome order by 2, queue, kind, outcome
         on conflict (step, at, queue, kind, outcome) do update
            set count = excluded.count, ran = excluded.ran, waited = excluded.waited",
        from,
        to,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Of what a queue held during a step, the last value counts.
async fn fold_queues(conn: &mut PgConnection, from: i32, to: i32) -> Result<()> {
    sqlx::query!(
        "insert into queue_history (step, at, queue, ready, scheduled, running, dead, oldest_seconds, paused)
         select distinct on (2, queue) $2::int, date_bin($2 * interval '1 second', at, 'epoch'), queue, ready, scheduled,
                running, dead, oldest_seconds, paused
           from queue_history
          where step = $1 and at >= coalesce((select max(at) from queue_history where step = $2), '-infinity')
          order by 2, queue, at desc
         on conflict (step, at, queue) do update
            set ready = excluded.ready, scheduled = excluded.scheduled, running = excluded.running,
                dead = excluded.dead, oldest_seconds = excluded.oldest_seconds, paused = excluded.paused",
        from,
        to,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn fold_orders(conn: &mut PgConnection, from: i32, to: i32) -> Result<()> {
    sqlx::query!(
        "insert into shop_history (step, at, currency, placed, value)
         select $2::int, date_bin($2 * interval '1 second', at, 'epoch'), currency, sum(placed), sum(value)
           from shop_history
          where step = $1 and at >= coalesce((select max(at) from shop_history where step = $2), '-infinity')
          group by 2, currency order by 2, currency
         on conflict (step, at, currency) do update set placed = excluded.placed, value = excluded.value",
        from,
        to,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn fold_requests(conn: &mut PgConnection, from: i32, to: i32) -> Result<()> {
    sqlx::query!(
        "insert into request_history (step, at, class, requests, failed, took)
         select $2::int, date_bin($2 * interval '1 second', at, 'epoch'), class, sum(requests), sum(failed), sum_arrays(took)
           from request_history
          where step = $1 and at >= coalesce((select max(at) from request_history where step = $2), '-infinity')
          group by 2, class order by 2, class
         on conflict (step, at, class) do update
            set requests = excluded.requests, failed = excluded.failed, took = excluded.took",
        from,
        to,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` rows of each table and step that are too old, after folding them. Returns the largest number
/// that it deleted of one.
pub async fn remove_old(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    fold(conn).await?;
    let mut most = 0;
    for (step, kept, next) in KEPT {
        for removed in [
            remove_jobs(conn, step, kept, next, limit).await?,
            remove_queues(conn, step, kept, next, limit).await?,
            remove_orders(conn, step, kept, next, limit).await?,
            remove_requests(conn, step, kept, next, limit).await?,
        ] {
            most = most.max(removed);
        }
    }
    Ok(most)
}

async fn remove_jobs(conn: &mut PgConnection, step: i32, kept: &str, next: Option<i32>, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from job_history where ctid = any(array(
             select ctid from job_history
              where step = $1 and at < now() - $2::text::interval
                and ($4::int is null or at < (select max(at) from job_history where step = $4))
              order by at limit $3))",
        step,
        kept,
        limit,
        next,
    );
    Ok(removed.execute(conn).await?.rows_affected())
}

async fn remove_queues(conn: &mut PgConnection, step: i32, kept: &str, next: Option<i32>, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from queue_history where ctid = any(array(
             select ctid from queue_history
              where step = $1 and at < now() - $2::text::interval
                and ($4::int is null or at < (select max(at) from queue_history where step = $4))
              order by at limit $3))",
        step,
        kept,
        limit,
        next,
    );
    Ok(removed.execute(conn).await?.rows_affected())
}

async fn remove_orders(conn: &mut PgConnection, step: i32, kept: &str, next: Option<i32>, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from shop_history where ctid = any(array(
             select ctid from shop_history
              where step = $1 and at < now() - $2::text::interval
                and ($4::int is null or at < (select max(at) from shop_history where step = $4))
              order by at limit $3))",
        step,
        kept,
        limit,
        next,
    );
    Ok(removed.execute(conn).await?.rows_affected())
}

async fn remove_requests(conn: &mut PgConnection, step: i32, kept: &str, next: Option<i32>, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from request_history where ctid = any(array(
             select ctid from request_history
              where step = $1 and at < now() - $2::text::interval
                and ($4::int is null or at < (select max(at) from request_history where step = $4))
              order by at limit $3))",
        step,
        kept,
        limit,
        next,
    );
    Ok(removed.execute(conn).await?.rows_affected())
}
