//! What a person does with dead jobs: retry them or discard them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Queue, Ring};
use crate::error::Result;
use crate::platform::db::CustomPlan;
use crate::values::JobId;

/// A job that was dead until now.
#[derive(Debug, Clone)]
pub struct Revived {
    pub kind: String,
    pub subject: Option<Uuid>,
    pub ring: Ring,
}

/// A job that was discarded now.
#[derive(Debug, Clone)]
pub struct Discarded {
    pub kind: String,
    pub subject: Option<Uuid>,
}

/// Selects dead jobs; `None` selects all.
#[derive(Debug, Clone, Copy)]
pub struct DeadJobs<'a> {
    pub kind: Option<&'a str>,
    pub queue: Option<Queue>,
    pub error_fingerprint: Option<&'a str>,
}

/// Makes a dead job ready again, due now, with so many new attempts. Its failed attempts stay on record. None: the
/// job does not exist or is not dead.
pub async fn retry(conn: &mut PgConnection, id: JobId, max_attempts: i32) -> Result<Option<Revived>> {
    let row = sqlx::query!(
        r#"update jobs set state = 'ready', run_at = statement_timestamp(), max_attempt = attempt + $2, finished_at = null
            where id = $1 and state = 'dead'
        returning kind, queue as "queue: Queue", order_id as subject, run_at"#,
        id.0,
        max_attempts,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Revived { kind: row.kind, subject: row.subject, ring: Ring::again(row.queue, id, row.run_at) }))
}

/// Retries many dead jobs, the oldest first. It skips jobs that another transaction has locked.
pub async fn retry_many(
    conn: &mut PgConnection,
    which: DeadJobs<'_>,
    limit: i64,
    max_attempts: i32,
) -> Result<Vec<Revived>> {
    let rows = sqlx::query!(
        r#"with chosen as materialized (
               select id from jobs
                where state = 'dead' and ($1::text is null or kind = $1) and ($2::queue is null or queue = $2)
                  and ($3::text is null or error_fingerprint = $3)
                order by id limit $4 for no key update skip locked)
           update jobs j
              set state = 'ready', run_at = statement_timestamp(), max_attempt = j.attempt + $5, finished_at = null
             from chosen where j.id = chosen.id
        returning j.id as "id: JobId", j.kind, j.queue as "queue: Queue", j.order_id as subject, j.run_at"#,
        which.kind,
        which.queue as Option<Queue>,
        which.error_fingerprint,
        limit,
        max_attempts,
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    let revived = rows.into_iter().map(|row| Revived {
        kind: row.kind,
        subject: row.subject,
        ring: Ring::again(row.queue, row.id, row.run_at),
    });
    Ok(revived.collect())
}

/// Gives a dead job up for good. None: the job does not exist or is not dead.
pub async fn discard(conn: &mut PgConnection, id: JobId) -> Result<Option<Discarded>> {
    Ok(sqlx::query_as!(
        Discarded,
        "update jobs set state = 'discarded', finished_at = statement_timestamp() where id = $1 and state = 'dead'
         returning kind, order_id as subject",
        id.0,
    )
    .fetch_optional(conn)
    .await?)
}

/// How many dead jobs there are of a kind, a queue or an error.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Counting stops one after the limit.
    pub count: i64,
    pub newest: Option<Uuid>,
    pub oldest_at: Option<DateTime<Utc>>,
}

/// Measures dead jobs up to `upto`, or up to the newest.
pub async fn measure(conn: &mut PgConnection, which: DeadJobs<'_>, upto: Option<Uuid>, limit: i64) -> Result<Measured> {
    // Not materialized: each of the three looks at some rows of an index, not at all that is chosen.
    Ok(sqlx::query_as!(
        Measured,
        r#"with chosen as not materialized (
               select id, finished_at from jobs
                where state = 'dead' and ($1::text is null or kind = $1) and ($2::queue is null or queue = $2)
                  and ($3::text is null or error_fingerprint = $3) and ($4::uuid is null or id <= $4))
           select (select count(*) from (select from chosen limit $5) part) as "count!",
                  (select id from chosen order by id desc limit 1) as newest,
                  (select finished_at from chosen order by id limit 1) as oldest_at"#,
        which.kind,
        which.queue as Option<Queue>,
        which.error_fingerprint,
        upto,
        limit + 1,
    )
    .fetch_one(CustomPlan(conn))
    .await?)
}

/// Which part of the dead jobs an action on many takes: those after the last that it took, up to the newest of its preview.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub after: Option<Uuid>,
    pub upto: Uuid,
}

/// Is there a dead job in this part?
pub async fn any_in(conn: &mut PgConnection, which: DeadJobs<'_>, span: Span) -> Result<bool> {
    let any = sqlx::query_scalar!(
        r#"select exists (
               select from jobs
                where state = 'dead' and ($1::text is null or kind = $1) and ($2::queue is null or queue = $2)
                  and ($3::text is null or error_fingerprint = $3) and ($4::uuid is null or id > $4) and id <= $5) as "any!""#,
        which.kind,
        which.queue as Option<Queue>,
        which.error_fingerprint,
        span.after,
        span.upto,
    );
    Ok(any.fetch_one(CustomPlan(conn)).await?)
}

/// As `retry_many`, for an action on many. It waits for a job that somebody else changes just now: a job that was left out
/// would be behind the position, and never taken.
pub async fn retry_for_bulk(
    conn: &mut PgConnection,
    which: DeadJobs<'_>,
    span: Span,
    bulk_id: Uuid,
    limit: i64,
    max_attempts: i32,
) -> Result<Vec<Revived>> {
    let rows = sqlx::query!(
        r#"with chosen as materialized (
               select id from jobs
                where state = 'dead' and ($1::text is null or kind = $1) and ($2::queue is null or queue = $2)
                  and ($3::text is null or error_fingerprint = $3) and ($8::uuid is null or id > $8) and id <= $6
                order by id limit $4 for no key update)
           update jobs j
              set state = 'ready', run_at = statement_timestamp(), max_attempt = j.attempt + $5, finished_at = null, bulk_id = $7
             from chosen where j.id = chosen.id
        returning j.id as "id: JobId", j.kind, j.queue as "queue: Queue", j.order_id as subject, j.run_at"#,
        which.kind,
        which.queue as Option<Queue>,
        which.error_fingerprint,
        limit,
        max_attempts,
        span.upto,
        bulk_id,
        span.after,
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    let revived = rows.into_iter().map(|row| Revived {
        kind: row.kind,
        subject: row.subject,
        ring: Ring::again(row.queue, row.id, row.run_at),
    });
    Ok(revived.collect())
}

/// Gives up many dead jobs, the oldest first, for an action on many.
pub async fn discard_for_bulk(
    conn: &mut PgConnection,
    which: DeadJobs<'_>,
    span: Span,
    bulk_id: Uuid,
    limit: i64,
) -> Result<Vec<(JobId, Discarded)>> {
    let rows = sqlx::query!(
        r#"with chosen as materialized (
               select id from jobs
                where state = 'dead' and ($1::text is null or kind = $1) and ($2::queue is null or queue = $2)
                  and ($3::text is null or error_fingerprint = $3) and ($7::uuid is null or id > $7) and id <= $5
                order by id limit $4 for no key update)
           update jobs j set state = 'discarded', finished_at = statement_timestamp(), bulk_id = $6
             from chosen where j.id = chosen.id
        returning j.id as "id: JobId", j.kind, j.order_id as subject"#,
        which.kind,
        which.queue as Option<Queue>,
        which.error_fingerprint,
        limit,
        span.upto,
        bulk_id,
        span.after,
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, Discarded { kind: row.kind, subject: row.subject })).collect())
}
