//! The report of a run: figures for people, JSON for programs, and the data of the HTML page.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::faults::InjectedFault;
use crate::sabotage::Sabotage;
use crate::verdict::{Check, Evidence, Recovery};

#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub seed: u64,
    pub seconds: u64,
    pub sabotage: Vec<Sabotage>,
    pub begun: DateTime<Utc>,
    pub ended: DateTime<Utc>,
    /// From the end of the faults until no work was open.
    pub rest: Duration,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub run: Run,
    pub figures: Vec<(String, String)>,
    pub faults_by_kind: BTreeMap<&'static str, usize>,
    pub faults: Vec<InjectedFault>,
    pub recoveries: Vec<Recovery>,
    pub verdict: Vec<Check>,
    /// Orders answered 201 and jobs done in each second of the run.
    pub orders_each_second: Vec<u32>,
    pub jobs_each_second: Vec<u32>,
}

impl Report {
    pub async fn write(
        run: Run,
        evidence: &Evidence<'_>,
        verdict: Vec<Check>,
        recoveries: Vec<Recovery>,
    ) -> Result<Self> {
        let finished: Vec<DateTime<Utc>> = sqlx::query_scalar(
            "select finished_at from jobs where finished_at is not null and order_id is not null order by 1",
        )
        .fetch_all(&evidence.cluster.db)
        .await?;
        let placed_at = evidence.clients.history().placed_at.clone();
        let mut faults_by_kind = BTreeMap::new();
        for fault in evidence.faults {
            *faults_by_kind.entry(fault.kind).or_default() += 1;
        }
        Ok(Self {
            figures: figures(&run, evidence, &recoveries, &finished).await?,
            orders_each_second: each_second(&run, &placed_at),
            jobs_each_second: each_second(&run, &finished),
            faults_by_kind,
            faults: evidence.faults.to_vec(),
            run,
            recoveries,
            verdict,
        })
    }

    pub fn is_clean(&self) -> bool {
        self.verdict.iter().all(|check| check.offenders.is_empty())
    }

    pub fn print(&self) {
        println!();
        for (what, figure) in &self.figures {
            println!("  {what:<58} {figure}");
        }
        println!();
        for (kind, count) in &self.faults_by_kind {
            println!("  {kind:<58} {count}");
        }
        println!();
        for Check { name, scope, offenders } in &self.verdict {
            let found = if offenders.is_empty() { "ok".to_owned() } else { format!("VIOLATED by {}", offenders.len()) };
            println!("  {name:<58} {found} ({scope})");
            for offender in offenders.iter().take(5) {
                println!("      {offender}");
            }
        }
        let broken = self.verdict.iter().filter(|check| !check.offenders.is_empty()).count();
        match broken {
            0 => println!("\nAll {} promises were kept.", self.verdict.len()),
            _ => println!("\n{broken} of {} promises were BROKEN. Seed {}.", self.verdict.len(), self.run.seed),
        }
    }
}

async fn figures(
    run: &Run,
    evidence: &Evidence<'_>,
    recoveries: &[Recovery],
    finished: &[DateTime<Utc>],
) -> Result<Vec<(String, String)>> {
    let db = &evidence.cluster.db;
    let states: Vec<(String, i64)> =
        sqlx::query_as("select status, count(*) from orders group by 1 order by 1").fetch_all(db).await?;
    let jobs: Vec<(String, i64)> = sqlx::query_as(
        "select kind, count(*) from jobs where state = 'done' and order_id is not null group by 1 order by 1",
    )
    .fetch_all(db)
    .await?;
    let failed: Vec<(String, i64)> =
        sqlx::query_as("select outcome, count(*) from job_attempts group by 1 order by 1").fetch_all(db).await?;
    let sum = |counts: &[(String, i64)]| counts.iter().map(|(_, count)| count).sum::<i64>();
    let listed = |counts: &[(String, i64)]| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    let history = evidence.clients.history();
    let placed = history.placed().count();
    let answers = history.answers.iter().map(|(status, count)| format!("{status} × {count}")).collect::<Vec<_>>();
    let longest = |seconds: fn(&Recovery) -> f64| recoveries.iter().map(seconds).fold(0.0, f64::max);
    let recovery = format!(
        "ready after {:.1} s, claimed by another worker after {:.1} s",
        longest(|recovery| recovery.ready_seconds),
        longest(|recovery| recovery.taken_seconds),
    );
    let lines = [
        ("orders answered 201", placed.to_string()),
        ("orders whose 201 reached no client", (sum(&states) - i64::try_from(placed)?).to_string()),
        ("states of all orders at the end", listed(&states)),
        ("answers by status", answers.join(", ")),
        ("requests without an answer", history.unanswered.to_string()),
        ("repeated requests answered from the first one", history.replayed.to_string()),
        ("jobs done", format!("{}: {}", sum(&jobs), listed(&jobs))),
        ("attempts that failed", format!("{}: {}", sum(&failed), listed(&failed))),
        ("faults", evidence.faults.len().to_string()),
        ("a killed worker's jobs, longest recovery", recovery),
        ("longest time without a finished job", format!("{:.1} s", longest_gap(run, finished))),
        ("from the last fault until no work was open", format!("{:.1} s", run.rest.as_secs_f64())),
    ];
    Ok(lines.into_iter().map(|(what, figure)| (what.to_owned(), figure)).collect())
}

/// The longest time between two finished jobs while orders were placed.
fn longest_gap(run: &Run, finished: &[DateTime<Utc>]) -> f64 {
    let times: Vec<_> = finished.iter().filter(|at| **at < run.ended).collect();
    times.windows(2).map(|pair| (*pair[1] - *pair[0]).as_seconds_f64()).fold(0.0, f64::max)
}

fn each_second(run: &Run, times: &[DateTime<Utc>]) -> Vec<u32> {
    let second = |at: DateTime<Utc>| usize::try_from((at - run.begun).num_seconds()).unwrap_or_default();
    let last = times.iter().copied().map(second).max().unwrap_or_default();
    let mut counts = vec![0; last + 1];
    for at in times {
        counts[second(*at)] += 1;
    }
    counts
}
