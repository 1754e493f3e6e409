//! Ends an attempt: done, failed, or handed back. Each is one statement on the job's row, guarded by the number of the
//! attempt: an attempt that has lost its lease changes nothing.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::claim::Claimer;
use super::retry::Schedule;
use super::{LeasedJob, Queue, Ring};
use crate::error::{Error, Result};
use crate::values::JobId;

/// Marks the job as done. Call it in the transaction of the job's effect, before the effect: the job's row is locked
/// first everywhere. `LeaseLost`: another attempt has begun, and this transaction must not commit.
pub async fn finish(conn: &mut PgConnection, job: &LeasedJob) -> Result<()> {
    match finish_many(conn, &[(job.id, job.attempt)]).await?.as_slice() {
        [_] => Ok(()),
        _ => Err(Error::LeaseLost),
    }
}

/// Locks the job's row until the end of the transaction, for an effect that does not end the job. `LeaseLost`: another
/// attempt has begun, and this transaction must not commit.
pub async fn hold(conn: &mut PgConnection, job: &LeasedJob) -> Result<()> {
    let held = sqlx::query!(
        "select attempt from jobs where id = $1 and attempt = $2 and state = $3 for no key update",
        job.id.0,
        job.attempt,
        "running",
    )
    .fetch_optional(conn)
    .await?;
    held.map(|_| ()).ok_or(Error::LeaseLost)
}

/// Marks several jobs as done. Returns those whose attempt was still the current one.
pub async fn finish_many(conn: &mut PgConnection, jobs: &[(JobId, i32)]) -> Result<Vec<JobId>> {
    let (ids, attempts): (Vec<Uuid>, Vec<i32>) = jobs.iter().map(|(id, attempt)| (id.0, *attempt)).unzip();
    let finished = sqlx::query_scalar!(
        r#"update jobs j set state = 'done', lease_until = null, finished_at = statement_timestamp()
             from (select jobs.id
                     from jobs join unnest((select $1::uuid[]), $2::int[]) mine (id, attempt) on jobs.id = mine.id
                    where jobs.state = (select $3) and jobs.attempt = mine.attempt
                    order by jobs.id for no key update of jobs) held
            where j.id = held.id
        returning j.id"#,
        &ids,
        &attempts,
        "running",
    )
    .fetch_all(conn)
    .await?;
    Ok(finished.into_iter().map(JobId).collect())
}

/// What came of jobs whose results were recorded together.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Jobs that are missing here had lost their lease, and nothing of them was kept.
    pub finished: HashSet<JobId>,
    /// For the jobs that follow.
    pub rings: Vec<Ring>,
    /// Jobs that follow and that this worker has claimed already.
    pub claimed: Vec<LeasedJob>,
}

/// A worker that may claim the jobs that follow, and how many it has room for.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    pub claimer: &'a Claimer,
    pub jobs: usize,
}

/// Marks these jobs as done, in the transaction of their effect and before it. Those that are missing in the result have
/// lost their lease: nothing of them may be written.
pub(crate) async fn finish_all<'a>(
    conn: &mut PgConnection,
    jobs: impl Iterator<Item = &'a LeasedJob>,
) -> Result<HashSet<JobId>> {
    let jobs: Vec<_> = jobs.map(|job| (job.id, job.attempt)).collect();
    Ok(finish_many(conn, &jobs).await?.into_iter().collect())
}

/// Why an attempt failed, and whether another attempt would fail in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFailure {
    pub permanent: bool,
    pub error: String,
}

/// What became of a job whose attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Again {
        run_at: DateTime<Utc>,
    },
    Dead,
    /// Another attempt had begun: nothing was written.
    NotOurs,
}

/// Longer errors are cut: people read them in lists.
const MAX_ERROR: usize = 2000;

/// Writes down the failed attempt with its error, and plans the next attempt or marks the job as dead.
pub async fn fail(
    conn: &mut PgConnection,
    job: &LeasedJob,
    failure: &AttemptFailure,
    schedule: Schedule,
) -> Result<Fate> {
    let dead = failure.permanent || job.attempt >= job.max_attempt;
    let error: String = failure.error.chars().filter(|c| *c != '\0').take(MAX_ERROR).collect();
    let row = sqlx::query!(
        r#"with failed as (
               update jobs set state = case when $3 then 'dead' else 'ready' end, lease_until = null,
                      run_at = case when $3 then run_at else statement_timestamp() + make_interval(secs => $4) end,
                      error = $5, error_fingerprint = $6, finished_at = case when $3 then statement_timestamp() end
                where id = $1 and attempt = $2 and state = 'running'
               returning id, attempt, worker, started_at, run_at
           ), kept as (
               insert into job_attempts (job_id, attempt, worker, host, started_at, outcome, error, fingerprint)
               select id, attempt, worker, (select host from workers w where w.id = worker), started_at, $7, $5, $6
                 from failed
           )
           select run_at from failed"#,
        job.id.0,
        job.attempt,
        dead,
        schedule.after(schedule.spent(job.attempt, job.max_attempt)).as_secs_f64(),
        error,
        fingerprint(&job.kind, &error),
        if failure.permanent { "permanent" } else { "transient" },
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        None => Fate::NotOurs,
        Some(_) if dead => Fate::Dead,
        Some(row) => Fate::Again { run_at: row.run_at },
    })
}

/// Hands jobs back that were claimed and not carried out. Another worker claims them at once, and the attempt does not
/// count.
pub async fn hand_back(conn: &mut PgConnection, jobs: &[(JobId, i32)]) -> Result<Vec<Ring>> {
    let (ids, attempts): (Vec<Uuid>, Vec<i32>) = jobs.iter().map(|(id, attempt)| (id.0, *attempt)).unzip();
    let rows = sqlx::query!(
        r#"update jobs j set state = 'ready', lease_until = null, max_attempt = max_attempt + 1
             from unnest((select $1::uuid[]), $2::int[]) mine (id, attempt)
            where j.id = mine.id and j.attempt = mine.attempt and j.state = (select $3)
        returning j.id, j.queue as "queue: Queue", j.run_at"#,
        &ids,
        &attempts,
        "running",
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| Ring::again(row.queue, JobId(row.id), row.run_at)).collect())
}

/// Hands a job back that may not run yet, to be claimed again after a while. The attempt does not count. None: another
/// attempt had begun.
pub async fn postpone(conn: &mut PgConnection, job: &LeasedJob, pause: Duration) -> Result<Option<Ring>> {
    let run_at = sqlx::query_scalar!(
        "update jobs set state = 'ready', lease_until = null, max_attempt = max_attempt + 1,
                run_at = statement_timestamp() + make_interval(secs => $3)
          where id = $1 and attempt = $2 and state = 'running'
         returning run_at",
        job.id.0,
        job.attempt,
        pause.as_secs_f64(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(run_at.map(|run_at| Ring::again(job.queue, job.id, run_at)))
}

/// A short hash of an error. Words with digits (ids, numbers) are left out, so that the same mistake has the same
/// fingerprint.
pub fn fingerprint(kind: &str, error: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut shape = String::with_capacity(error.len());
    for word in error.split_whitespace() {
        let varies = word.chars().any(|c| c.is_ascii_digit());
        shape.push_str(if varies { "#" } else { word });
        shape.push(' ');
    }
    let digest = Sha256::digest(format!("{kind}\0{shape}"));
    digest[..6].iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn fingerprints_ignore_what_varies() {
        for (one, other, same) in [
            ("timeout after 30 ms", "timeout after 45 ms", true),
            ("order 0197-a1 is gone", "order 0197-b2 is gone", true),
            ("timeout", "declined", false),
        ] {
            assert_eq!(fingerprint("k", one) == fingerprint("k", other), same, "{one} / {other}");
        }
        assert_ne!(fingerprint("a", "timeout"), fingerprint("b", "timeout"));
    }
}
