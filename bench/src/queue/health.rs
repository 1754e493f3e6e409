//! Checks that the jobs table stays healthy after a million jobs. Waves of jobs go through real workers, done jobs are
//! pruned as in production but sooner, and the plans of the two claims are measured at intervals.

use std::time::Duration;

use anyhow::{Context, Result};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::json;
use shared::queue::claim::{self, Claimer};
use shared::queue::{Job, Noop, Queue, WorkerId, prune};
use shared::values::JobId;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{Bench, TIMEOUT, quantile, stop_all};
use crate::explain::AUTO_EXPLAIN;
use crate::explain::plans::{Plans, Statement};

const WORKERS: u32 = 2;
const WAVE: u32 = 50_000;
/// How long done jobs are kept. In production it is an hour; here the time between waves is shorter too.
const KEPT: Duration = Duration::from_secs(3);
/// Rows pruned by one statement, as in production.
const STEP: i64 = 5000;
/// The slots of a worker.
const CLAIMED: u32 = 32;
const PROBES: usize = 9;

/// The state of the table at one moment.
#[derive(Debug, Clone, Serialize)]
struct Sample {
    jobs: u32,
    dead_tuples: i64,
    table_mb: f64,
    indexes_mb: f64,
    /// The cost of a claim of the first due jobs. Queue maintenance finds them in the same way.
    next: Cost,
    /// The cost of a claim by ids, as they come from the doorbell.
    by_ids: Cost,
}

/// The median of several runs.
#[derive(Debug, Clone, Copy, Serialize)]
struct Cost {
    ms: f64,
    buffers: f64,
}

impl Bench<'_> {
    pub(super) async fn health(&mut self) -> Result<()> {
        let mut probe = Probe::start(self).await?;
        let workers = self.start_workers(WORKERS).await?;
        let mut samples = vec![probe.sample(0).await?];
        let waves = self.options.jobs.div_ceil(WAVE);
        for wave in 1..=waves {
            self.wave().await?;
            if wave % waves.div_ceil(10) == 0 || wave == waves {
                samples.push(probe.sample(wave * WAVE).await?);
            }
        }
        self.say_health(&samples);

        // A transaction that is left open: rows that are deleted after its beginning cannot be vacuumed.
        let mut idle = PgConnection::connect(self.options.database_url.expose_secret()).await?;
        let mut tx = idle.begin_with("begin isolation level repeatable read").await?;
        sqlx::query("select count(*) from workers").execute(&mut *tx).await?;
        self.wave().await?;
        self.wave().await?;
        let held = probe.sample(2 * WAVE).await?;
        tx.rollback().await?;
        // Autovacuum does this once a minute.
        sqlx::query("vacuum jobs").execute(&self.db).await?;
        let healed = probe.sample(2 * WAVE).await?;
        stop_all(workers).await?;
        self.say(
            format!("{} jobs under a forgotten snapshot", 2 * WAVE),
            format!("first claim {:.2} ms, {:.0} buffers", held.next.ms, held.next.buffers),
            format!("after its end and a vacuum {:.2} ms, {:.0} buffers", healed.next.ms, healed.next.buffers),
            json!({ "held": held, "healed": healed }),
        );
        Ok(())
    }

    async fn wave(&self) -> Result<()> {
        self.write_jobs(WAVE, 0).await?;
        self.wait_for_rest(0).await?;
        let mut conn = self.db.acquire().await?;
        while prune::remove_done(&mut conn, KEPT, STEP).await? == STEP.unsigned_abs() {}
        Ok(())
    }

    fn say_health(&mut self, samples: &[Sample]) {
        // Compares the end with the middle, after half as many jobs.
        let (Some(early), Some(last)) = (samples.get(samples.len() / 2), samples.last()) else { return };
        let most = |of: fn(&Sample) -> f64| samples.iter().map(of).fold(0.0, f64::max);
        self.say(
            format!("the jobs table after {} jobs, against after {}", last.jobs, early.jobs),
            format!(
                "table {:.0} MB, indexes {:.0} MB, {} dead tuples",
                last.table_mb, last.indexes_mb, last.dead_tuples
            ),
            format!(
                "{:.2} × table, {:.2} × indexes; at most {:.0} and {:.0} MB",
                last.table_mb / early.table_mb,
                last.indexes_mb / early.indexes_mb,
                most(|sample| sample.table_mb),
                most(|sample| sample.indexes_mb)
            ),
            json!({ "samples": samples }),
        );
        self.say(
            format!("the same: a claim of {CLAIMED}"),
            format!(
                "first due jobs {:.2} ms, {:.0} buffers; by ids {:.2} ms, {:.0}",
                last.next.ms, last.next.buffers, last.by_ids.ms, last.by_ids.buffers
            ),
            format!(
                "{:.2} × and {:.2} × the buffers; at most {:.2} and {:.2} ms",
                last.next.buffers / early.next.buffers,
                last.by_ids.buffers / early.by_ids.buffers,
                most(|sample| sample.next.ms),
                most(|sample| sample.by_ids.ms)
            ),
            json!({ "early": [early.next, early.by_ids], "last": [last.next, last.by_ids] }),
        );
    }
}

/// Measures claims of jobs that no worker sees, in a transaction that is rolled back.
struct Probe {
    conn: PgConnection,
    plans: Plans,
    claimer: Claimer,
}

impl Probe {
    async fn start(bench: &Bench<'_>) -> Result<Self> {
        let options: PgConnectOptions = bench.options.database_url.expose_secret().parse()?;
        let conn = PgConnection::connect_with(&options.options(AUTO_EXPLAIN.iter().copied()))
            .await
            .context("only a superuser may switch auto_explain on")?;
        let claimer = Claimer {
            worker: WorkerId(Uuid::now_v7()),
            lease: TIMEOUT,
            kinds: vec![format!("{}/{}", Noop::KIND, Noop::VERSION)],
        };
        Ok(Self { conn, plans: Plans::listen()?, claimer })
    }

    async fn sample(&mut self, jobs: u32) -> Result<Sample> {
        let (next, by_ids) = (self.cost(ClaimBy::FirstDue).await?, self.cost(ClaimBy::Ids).await?);
        let (table, indexes, dead_tuples): (i64, i64, i64) = sqlx::query_as(
            "select pg_table_size('jobs'), pg_indexes_size('jobs'),
                    (select n_dead_tup from pg_stat_user_tables where relname = 'jobs')",
        )
        .fetch_one(&mut self.conn)
        .await?;
        #[expect(clippy::cast_precision_loss, reason = "it is shown in MB")]
        let [table_mb, indexes_mb] = [table, indexes].map(|bytes| bytes as f64 / 1e6);
        let sample = Sample { jobs, dead_tuples, table_mb, indexes_mb, next, by_ids };
        eprintln!("{sample:?}");
        Ok(sample)
    }

    async fn cost(&mut self, by: ClaimBy) -> Result<Cost> {
        let (mut ms, mut buffers) = (Vec::new(), Vec::new());
        for _ in 0..PROBES {
            let mut tx = self.conn.begin().await?;
            let ids: Vec<Uuid> = sqlx::query_scalar(
                "insert into jobs (queue, kind, args, max_attempt, run_at)
                 select 'default', 'noop', '{}', 8, now() from generate_series(1, $1::bigint) returning id",
            )
            .bind(i64::from(CLAIMED))
            .fetch_all(&mut *tx)
            .await?;
            drop(self.plans.take());
            let claimed = match by {
                ClaimBy::FirstDue => {
                    let limit = i64::from(CLAIMED);
                    claim::next(&mut tx, &self.claimer, &[(Queue::Default, limit)], limit).await?
                }
                ClaimBy::Ids => {
                    claim::by_ids(&mut tx, &self.claimer, &ids.iter().copied().map(JobId).collect::<Vec<_>>()).await?
                }
            };
            anyhow::ensure!(
                claimed.len() == ids.len(),
                "{} jobs were claimed instead of those just written",
                claimed.len()
            );
            let plan = self.plans.take().pop().context("auto_explain says nothing")?;
            let statement = Statement::read(&plan, &[])?;
            ms.push(statement.ms);
            buffers.push(f64::from(statement.buffers));
            tx.rollback().await?;
        }
        Ok(Cost { ms: quantile(&mut ms, 0.5), buffers: quantile(&mut buffers, 0.5) })
    }
}

#[derive(Debug, Clone, Copy)]
enum ClaimBy {
    FirstDue,
    Ids,
}
