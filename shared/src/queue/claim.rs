//! Claims jobs for a worker and renews their leases. A claim is one guarded update: a job is never claimed twice at
//! the same time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Job, JobRow, Lease, LeasedJob, Plan, Queue, WorkerId};
use crate::error::Result;
use crate::values::JobId;

/// The worker that claims, how long its leases are, and which kinds of job it can carry out.
#[derive(Debug, Clone)]
pub struct Claimer {
    pub worker: WorkerId,
    pub lease: Duration,
    /// Each as `kind/version`. Jobs of other kinds stay for workers that know them.
    pub kinds: Vec<String>,
}

/// Claims those of these jobs that are due and ready. The others were claimed or finished by another worker, so an id
/// that the doorbell repeats does no harm.
///
/// Here and in all statements on jobs that are named by their ids, the state is hidden from the planner. If it knew it, it
/// might take the partial index of that state and read all of it: the statistics may be from a time when it was nearly empty.
pub async fn by_ids(conn: &mut PgConnection, claimer: &Claimer, ids: &[JobId]) -> Result<Vec<LeasedJob>> {
    let asked = Instant::now();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        JobRow,
        r#"update jobs j
              set state = 'running', attempt = j.attempt + 1, worker = $1, started_at = statement_timestamp(),
                  lease_until = statement_timestamp() + make_interval(secs => $2)
             from (select id from jobs
                    where id = any((select $3::uuid[])::uuid[]) and state = (select $5) and run_at <= now()
                      and kind || '/' || version = any((select $4::text[])::text[])
                      and queue not in (select name from queues where paused)
                      for no key update skip locked) mine
            where j.id = mine.id
        returning j.id, j.attempt, j.max_attempt, j.queue as "queue: Queue", j.kind, j.version, j.args, j.order_id as subject,
                  j.request_id, j.trace_parent, j.run_at"#,
        claimer.worker.0,
        claimer.lease.as_secs_f64(),
        &ids,
        &claimer.kinds,
        "ready",
    )
    .fetch_all(conn)
    .await?;
    Ok(JobRow::leased(rows, asked, claimer.lease))
}

/// Claims the first jobs that are due, without the doorbell: the queues in the given order, each with its own limit.
pub async fn next(
    conn: &mut PgConnection,
    claimer: &Claimer,
    queues: &[(Queue, i64)],
    limit: i64,
) -> Result<Vec<LeasedJob>> {
    let asked = Instant::now();
    let (names, limits): (Vec<Queue>, Vec<i64>) = queues.iter().copied().unzip();
    let rows = sqlx::query_as!(
        JobRow,
        r#"update jobs j
              set state = 'running', attempt = j.attempt + 1, worker = $1, started_at = statement_timestamp(),
                  lease_until = statement_timestamp() + make_interval(secs => $2)
             from (select due.id
                     from unnest($3::queue[], $6::bigint[]) with ordinality wanted (queue, most, place)
                    cross join lateral (
                          select id, run_at from jobs
                           where queue = wanted.queue and state = 'ready' and run_at <= now()
                             and kind || '/' || version = any($4)
                           order by queue, run_at, id limit wanted.most
                             for no key update skip locked) due
                    where wanted.queue not in (select name from queues where paused)
                    order by wanted.place, due.run_at, due.id limit $5) mine
            where j.id = mine.id
        returning j.id, j.attempt, j.max_attempt, j.queue as "queue: Queue", j.kind, j.version, j.args, j.order_id as subject,
                  j.request_id, j.trace_parent, j.run_at"#,
        claimer.worker.0,
        claimer.lease.as_secs_f64(),
        &names as &[Queue],
        &claimer.kinds,
        limit,
        &limits,
    )
    .fetch_all(conn)
    .await?;
    Ok(JobRow::leased(rows, asked, claimer.lease))
}

/// Writes jobs that this worker begins itself: they are claimed by their first row, so nobody is told about them. If the
/// process dies, their leases expire like those of other jobs.
pub async fn enqueue_own<J: Job>(
    conn: &mut PgConnection,
    jobs: &[(J, &Plan)],
    claimer: &Claimer,
) -> Result<Vec<LeasedJob>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let asked = Instant::now();
    let jobs: Vec<_> = jobs.iter().map(|(job, plan)| (job, *plan)).collect();
    let rows = super::insert(conn, &jobs, Some((claimer.worker, claimer.lease))).await?;
    Ok(JobRow::leased(rows, asked, claimer.lease))
}

/// The ids of the first jobs that are due in a queue. It locks nothing.
pub async fn due(conn: &mut PgConnection, queue: Queue, kinds: &[String], limit: i64) -> Result<Vec<JobId>> {
    let ids = sqlx::query_scalar!(
        r#"select id from jobs
            where queue = $1 and state = 'ready' and run_at <= now() and kind || '/' || version = any($2)
              and queue not in (select name from queues where paused)
            order by queue, run_at, id limit $3"#,
        queue as Queue,
        kinds,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// The jobs that a process runs now, each with its attempt and its lease.
pub type Running = HashMap<JobId, (i32, Arc<Lease>)>;

/// Renews the leases of the jobs that this process runs. It skips locked rows: those jobs are just being settled.
pub async fn renew(conn: &mut PgConnection, claimer: &Claimer, running: &Running) -> Result<()> {
    let asked = Instant::now();
    let (ids, attempts): (Vec<Uuid>, Vec<i32>) = running.iter().map(|(id, (attempt, _))| (id.0, *attempt)).unzip();
    let renewed = sqlx::query_scalar!(
        r#"update jobs j set lease_until = statement_timestamp() + make_interval(secs => $3)
             from (select jobs.id
                     from jobs join unnest((select $1::uuid[]), $2::int[]) mine (id, attempt) on jobs.id = mine.id
                    where jobs.state = (select $5) and jobs.attempt = mine.attempt and jobs.worker = $4
                      for no key update of jobs skip locked) held
            where j.id = held.id
        returning j.id"#,
        &ids,
        &attempts,
        claimer.lease.as_secs_f64(),
        claimer.worker.0,
        "running",
    )
    .fetch_all(conn)
    .await?;
    for id in renewed {
        if let Some((_, lease)) = running.get(&JobId(id)) {
            lease.confirm(asked);
        }
    }
    Ok(())
}
