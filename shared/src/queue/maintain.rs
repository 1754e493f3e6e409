//! Repairs the queue once a second, from one leader: reclaims jobs whose lease expired, rings due jobs that Redis does
//! not know, and moves jobs of kinds that no worker knows to `dead`.
//!
//! Conditions that use an index compare with `now()`: `clock_timestamp()` may change within a statement, so Postgres
//! would read every row. Each statement here is its own transaction, so both have the same value.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::doorbell::Doorbell;
use super::heartbeat::FORGOTTEN_AFTER;
use super::retry::Schedule;
use super::{Queue, Ring, pause};
use crate::error::Result;
use crate::values::JobId;

/// A set with so many ids keeps the workers busy until the next round.
const LOW_WATER: i64 = 1000;
/// How many of the oldest jobs are rung at once.
const PAGE: i64 = 2000;
/// Jobs reclaimed by one statement.
const RECLAIMED: i64 = 500;
/// The advisory lock of the leader. Any constant number will do.
pub const LOCK: i64 = 0x6d69_6c6c;

/// The settings of the maintenance.
#[derive(Debug, Clone)]
pub struct Rules {
    pub schedule: Schedule,
    /// The kinds that the leader itself knows, each as `kind/version`.
    pub kinds: Vec<String>,
    /// How long a job of an unknown kind waits for a worker that knows it.
    pub unknown_after: Duration,
}

/// What one round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Jobs of lost workers, those that died of it included.
    pub reclaimed: usize,
    /// Jobs that are dead now.
    pub died: usize,
}

/// Does one round: resumes queues whose time has come, reclaims lost jobs, and gives up jobs of unknown kinds.
///
/// `led_for` is how long this process has been the leader without a break. Jobs of unknown kinds are given up only when
/// that is longer than `unknown_after`: after an outage of the whole fleet, the workers that know them may still be
/// starting.
pub async fn repair(
    conn: &mut PgConnection,
    doorbell: &Doorbell,
    rules: &Rules,
    led_for: Duration,
) -> Result<Repaired> {
    pause::resume_due(conn).await?;
    let (reclaimed, mut died) = reclaim(conn, doorbell, rules.schedule).await?;
    if led_for >= rules.unknown_after {
        died += give_up_unknown(conn, rules).await?;
    }
    Ok(Repaired { reclaimed, died })
}

/// Reclaims the jobs of lost workers. After its first loss a job is ready again at once. After further losses it waits
/// longer each time: if a job kills its process, the jobs beside it then run without it.
async fn reclaim(conn: &mut PgConnection, doorbell: &Doorbell, schedule: Schedule) -> Result<(usize, usize)> {
    let lost = sqlx::query!(
        "select id, attempt, max_attempt from jobs where state = 'running' and lease_until < now()
          order by lease_until limit $1",
        RECLAIMED,
    )
    .fetch_all(&mut *conn)
    .await?;
    if lost.is_empty() {
        return Ok((0, 0));
    }
    let ids: Vec<Uuid> = lost.iter().map(|row| row.id).collect();
    let attempts: Vec<i32> = lost.iter().map(|row| row.attempt).collect();
    let wait = |spent| if spent <= 1 { 0.0 } else { schedule.after(spent - 1).as_secs_f64() };
    let waits: Vec<f64> = lost.iter().map(|row| wait(schedule.spent(row.attempt, row.max_attempt))).collect();
    let rows = sqlx::query!(
        r#"with lost as materialized (
               select id, clock_timestamp() as now, clock_timestamp() + make_interval(secs => wait) as again_at
                 from (select jobs.id, mine.wait
                         from jobs join unnest($1::uuid[], $2::int[], $3::float8[]) mine (id, attempt, wait) on jobs.id = mine.id
                        where jobs.state = 'running' and jobs.attempt = mine.attempt and jobs.lease_until < clock_timestamp()
                          for no key update of jobs skip locked) locked
           ), back as (
               update jobs j
                  set state = case when j.attempt >= j.max_attempt then 'dead' else 'ready' end, lease_until = null,
                      run_at = case when j.attempt >= j.max_attempt then j.run_at else lost.again_at end,
                      finished_at = case when j.attempt >= j.max_attempt then lost.now end,
                      error = $4, error_fingerprint = $5
                 from lost where j.id = lost.id
               returning j.id, j.queue, j.state, j.run_at, j.attempt, j.worker, j.started_at
           ), kept as (
               insert into job_attempts (job_id, attempt, worker, host, started_at, outcome, error, fingerprint)
               select id, attempt, worker, (select host from workers w where w.id = worker), started_at, 'lease_lost', $4, $5
                 from back
           )
           select id as "id!", queue as "queue!: Queue", state as "state!", run_at as "run_at!" from back"#,
        &ids,
        &attempts,
        &waits,
        LOST,
        super::settle::fingerprint("", LOST),
    )
    .fetch_all(conn)
    .await?;
    let died = rows.iter().filter(|row| row.state == "dead").count();
    let back = rows.iter().filter(|row| row.state == "ready");
    doorbell.ring(back.map(|row| Ring::again(row.queue, JobId(row.id), row.run_at)));
    Ok((rows.len(), died))
}

const LOST: &str = "the worker was lost: its lease expired before the attempt ended";

/// Moves jobs to `dead` that no live worker knows and that have waited for too long. Such jobs are the oldest of their
/// queue, so the statement reads only the oldest.
async fn give_up_unknown(conn: &mut PgConnection, rules: &Rules) -> Result<usize> {
    let given_up = sqlx::query_scalar!(
        r#"with old as (
               select due.id from unnest(enum_range(null::queue)) wanted (queue)
                cross join lateral (
                      select id, kind || '/' || version as known_as from jobs
                       where queue = wanted.queue and state = 'ready'
                         and run_at < now() - make_interval(secs => $1)
                       order by queue, run_at, id limit $2) due
                where due.known_as <> all($5)
                  and not exists (select from workers
                                   where gone_at is null and heartbeat_at > now() - make_interval(secs => $6)
                                     and due.known_as = any(kinds))
           ), dead as (
               update jobs j set state = 'dead', finished_at = statement_timestamp(), error = $3, error_fingerprint = $4
                 from (select jobs.id from jobs join old on jobs.id = old.id
                        where state = 'ready' for no key update of jobs skip locked) mine
                where j.id = mine.id
               returning j.id, j.attempt
           ), kept as (
               insert into job_attempts (job_id, attempt, outcome, error, fingerprint)
               select id, attempt, 'permanent', $3, $4 from dead on conflict do nothing
           )
           select count(*) as "given_up!" from dead"#,
        rules.unknown_after.as_secs_f64(),
        PAGE,
        UNKNOWN,
        super::settle::fingerprint("", UNKNOWN),
        &rules.kinds,
        FORGOTTEN_AFTER.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(given_up).unwrap_or(0))
}

const UNKNOWN: &str = "no worker knows this kind and version of job";

/// Rings the oldest jobs that have been due for a second. It locks nothing, and it skips queues whose set has enough ids.
/// It does not ring kinds that no live worker knows: a page full of them would hide the jobs behind them.
///
/// Returns whether there is a backlog. Then call it again soon.
pub async fn top_up(conn: &mut PgConnection, doorbell: &Doorbell, rules: &Rules) -> Result<bool> {
    let Some(lengths) = doorbell.lengths().await else { return Ok(false) };
    let mut backlog = false;
    for queue in Queue::ALL {
        if lengths.get(&queue).is_some_and(|length| *length >= LOW_WATER) {
            backlog = true;
            continue;
        }
        let due = sqlx::query!(
            r#"select id, run_at from jobs
                where queue = $1 and state = 'ready' and run_at <= now() - interval '1 second'
                  and kind || '/' || version = any($3 || array(
                          select unnest(kinds) from workers
                           where gone_at is null and heartbeat_at > now() - make_interval(secs => $4)))
                order by queue, run_at, id limit $2"#,
            queue as Queue,
            PAGE,
            &rules.kinds,
            FORGOTTEN_AFTER.as_secs_f64(),
        )
        .fetch_all(&mut *conn)
        .await?;
        backlog |= due.len() >= usize::try_from(PAGE).expect("a page is small");
        let rings: Vec<Ring> = due.into_iter().map(|row| Ring::again(queue, JobId(row.id), row.run_at)).collect();
        doorbell.ring_now(queue, &rings).await;
    }
    Ok(backlog)
}
