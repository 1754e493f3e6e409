//! The audit: checks a list of invariants, each by one query for the rows that break it. Alone writes `audit_runs` and
//! `audit_starts`; reads every other table, and repairs nothing.

pub mod full;

mod invariants;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use self::invariants::{INVARIANTS, Invariant, LEDGER, Of, with_states};
use crate::error::Result;
use crate::inventory::ledger;
use crate::months;
use crate::page;

/// Suspects of one invariant in a run. With more of them something is very wrong, and the exact number does not matter.
const MAX_SUSPECTS: i64 = 1000;
/// Offenders of each invariant that a report shows.
const SHOWN: usize = 50;
/// A run over everything reads whole tables, so a statement may take longer than in a request.
const STATEMENT_TIMEOUT: &str = "120s";
/// How long a run waits for another run to end.
const WAIT_FOR_OTHER_RUN: &str = "60s";
/// Older orders that a scheduled run looks at; that takes some seconds.
const STRETCH: i64 = 100_000;
/// Every run looks at the orders of the last days.
const RECENT_DAYS: i32 = 2;
/// The pause before suspects are looked at again. A change that one of two books already has is in both by then.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long runs are kept.
const KEPT_DAYS: i32 = 30;
/// The advisory lock that makes runs take turns, so that each run knows the suspects of the one before. Any number.
const LOCK: i64 = 0x6175_6469;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Report {
    pub ran_at: DateTime<Utc>,
    /// Of all invariants; it should be 0
    #[schema(example = 0)]
    pub violations: i64,
    pub invariants: Vec<Finding>,
}

/// The result of one invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    #[schema(example = "stock_is_never_negative")]
    pub name: String,
    /// Rows that two consecutive runs saw breaking it; counted up to 1,000
    #[schema(example = 0)]
    pub violations: i64,
    /// The first 50 of them, and what is wrong
    #[schema(value_type = Vec<Object>)]
    pub offenders: Vec<Value>,
}

/// The keys of the rows that looked wrong to a run, by invariant. Only if the next run sees a row again it is a violation.
type Suspects = BTreeMap<String, BTreeSet<String>>;

/// Under which id a run is stored.
#[derive(Debug, Clone, Copy)]
enum StoreAs {
    New,
    Id(Uuid),
    /// Only if it saw no new suspects, so that it is final.
    IdIfFinal(Uuid),
}

/// Looks once, at recent orders and at the next stretch of older ones, and stores the result. A row that the run before
/// did not see is a suspect, not yet a violation: the provider's books are read in another snapshot than ours.
pub async fn run(conn: &mut PgConnection) -> Result<Report> {
    Ok(look(conn, false, StoreAs::New).await?.0)
}

/// Looks at everything. If a row looks wrong for the first time it looks again a second later, so the result, which has
/// this id, is final.
pub async fn run_to_certainty(conn: &mut PgConnection, id: Uuid) -> Result<Report> {
    let (report, new_suspects) = look(conn, true, StoreAs::IdIfFinal(id)).await?;
    if !new_suspects {
        return Ok(report);
    }
    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    Ok(look(conn, true, StoreAs::Id(id)).await?.0)
}

/// The result of the last run; None before the first.
pub async fn last(conn: &mut PgConnection) -> Result<Option<Report>> {
    let row = sqlx::query!(
        r#"select ran_at, violations, invariants as "invariants: Json<Vec<Finding>>"
             from audit_runs order by ran_at desc limit 1"#
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Report { ran_at: row.ran_at, violations: row.violations.into(), invariants: row.invariants.0 }))
}

/// One run, and whether it saw a row that the run before had not seen.
async fn look(conn: &mut PgConnection, everything: bool, store_as: StoreAs) -> Result<(Report, bool)> {
    let mut tx = conn.begin().await?;
    take_turn(&mut tx).await?;
    let reach = if everything { Reach::everything() } else { Reach::next(&mut tx).await? };
    let before = suspects_of_last(&mut tx).await?;
    let (mut suspects, mut invariants) = (Suspects::new(), Vec::with_capacity(INVARIANTS.len()));
    let mut new_suspects = false;
    for invariant in &INVARIANTS {
        let seen = offenders(&mut tx, invariant, &reach).await?;
        let known = |key: &String| before.get(invariant.name).is_some_and(|keys| keys.contains(key));
        let again: Vec<&Value> = seen.iter().filter(|(key, _)| known(key)).map(|(_, offender)| offender).collect();
        new_suspects |= again.len() < seen.len();
        invariants.push(Finding {
            name: invariant.name.to_owned(),
            violations: i64::try_from(again.len()).expect("it is limited"),
            offenders: again.into_iter().take(SHOWN).cloned().collect(),
        });
        suspects.insert(invariant.name.to_owned(), seen.into_iter().map(|(key, _)| key).collect());
    }
    // Checkpoints must not hide what is wrong with the ledger.
    if suspects[LEDGER].is_empty() {
        ledger::checkpoint(&mut tx).await?;
    }
    let id = match store_as {
        StoreAs::Id(id) => id,
        StoreAs::IdIfFinal(id) if !new_suspects => id,
        StoreAs::New | StoreAs::IdIfFinal(_) => Uuid::now_v7(),
    };
    let report = store(&mut tx, id, invariants, suspects, &reach).await?;
    tx.commit().await?;
    log_violations(&report);
    Ok((report, new_suspects))
}

fn log_violations(report: &Report) {
    for finding in report.invariants.iter().filter(|finding| finding.violations > 0) {
        tracing::error!(
            invariant = finding.name,
            violations = finding.violations,
            offenders = %serde_json::json!(finding.offenders),
            "the audit found {} violations of {}",
            finding.violations,
            finding.name
        );
    }
}

/// The orders that a run looks at, by their ids, which begin with the time. A scheduled run takes the recent orders and
/// one stretch of older ones, and the next run takes the stretch after that. So its cost does not grow with history,
/// and every order is checked again and again.
struct Reach {
    stretch: Range<Uuid>,
    recent: Range<Uuid>,
}

impl Reach {
    fn everything() -> Self {
        Self { stretch: Uuid::nil()..Uuid::max(), recent: Uuid::max()..Uuid::max() }
    }

    async fn next(conn: &mut PgConnection) -> Result<Self> {
        let row = sqlx::query!(
            r#"select next.stretch as "start!", (select id from orders where id >= next.stretch order by id offset $1 limit 1) as "end",
                      now() - make_interval(days => $2) as "recent!"
                 from (select coalesce((select next_stretch from audit_runs where next_stretch is not null
                                         order by ran_at desc limit 1), $3::uuid) as stretch) next"#,
            STRETCH,
            RECENT_DAYS,
            Uuid::nil(),
        )
        .fetch_one(conn)
        .await?;
        let recent = page::first_id_at(row.recent);
        Ok(match row.end {
            Some(end) if end < recent => Self { stretch: row.start..end, recent: recent..Uuid::max() },
            _ => Self { stretch: row.start..Uuid::max(), recent: Uuid::max()..Uuid::max() },
        })
    }

    /// Where the next run begins: after this stretch, or at the same one while something looks wrong in it.
    fn next_stretch(&self, suspects: &Suspects) -> Uuid {
        if suspects.values().any(|keys| !keys.is_empty()) {
            self.stretch.start
        } else if self.recent.is_empty() {
            Uuid::nil()
        } else {
            self.stretch.end
        }
    }
}

async fn offenders(conn: &mut PgConnection, invariant: &Invariant, reach: &Reach) -> Result<Vec<(String, Value)>> {
    let (orders, first) = match invariant.offenders {
        Of::All(sql) => {
            let sql = AssertSqlSafe(with_states(sql));
            return Ok(sqlx::query_as(sql).bind(MAX_SUSPECTS).fetch_all(conn).await?);
        }
        Of::Orders(sql) => (with_states(sql), Uuid::nil()),
        Of::Timelines(sql) => (with_states(sql), months::removed_before(&mut *conn).await?),
    };
    let mut seen = Vec::new();
    let spans = [&reach.stretch, &reach.recent].map(|span| span.start.max(first)..span.end);
    for span in spans.into_iter().filter(|span| !span.is_empty()) {
        // Not a prepared statement: a day of orders and a year of them need different plans.
        let found = sqlx::query_as(AssertSqlSafe(orders.clone()))
            .bind(MAX_SUSPECTS)
            .bind(span.start)
            .bind(span.end)
            .persistent(false);
        seen.extend(found.fetch_all(&mut *conn).await?);
    }
    Ok(seen)
}

async fn take_turn(conn: &mut PgConnection) -> Result<()> {
    let settings = [
        ("lock_timeout", WAIT_FOR_OTHER_RUN),
        ("statement_timeout", STATEMENT_TIMEOUT),
        // So that Postgres notices soon that the process of a run has died.
        ("client_connection_check_interval", "2s"),
        // It reads whole tables, with Postgres's own helpers. Requests must not, so their connections have this off.
        ("enable_seqscan", "on"),
        ("max_parallel_workers_per_gather", "2"),
    ];
    for (setting, value) in settings {
        sqlx::query_scalar!("select set_config($1, $2, true)", setting, value).fetch_one(&mut *conn).await?;
    }
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended(current_schema()::text, $1))", LOCK)
        .execute(conn)
        .await?;
    Ok(())
}

async fn suspects_of_last(conn: &mut PgConnection) -> Result<Suspects> {
    let last = sqlx::query_scalar!(
        r#"select suspects as "suspects: Json<Suspects>" from audit_runs order by ran_at desc limit 1"#
    )
    .fetch_optional(conn)
    .await?;
    Ok(last.map(|Json(suspects)| suspects).unwrap_or_default())
}

/// Stores the run, and deletes very old ones.
async fn store(
    conn: &mut PgConnection,
    id: Uuid,
    invariants: Vec<Finding>,
    suspects: Suspects,
    reach: &Reach,
) -> Result<Report> {
    let violations: i64 = invariants.iter().map(|finding| finding.violations).sum();
    let ran_at = sqlx::query_scalar!(
        "with old as (delete from audit_runs where ran_at < now() - make_interval(days => $4)),
              old_starts as (delete from audit_starts where started_at < now() - make_interval(days => $4))
         insert into audit_runs (id, violations, invariants, suspects, next_stretch) values ($6, $1, $2, $3, $5)
         returning ran_at",
        i32::try_from(violations).expect("it is limited"),
        Json(&invariants) as _,
        Json(&suspects) as _,
        KEPT_DAYS,
        reach.next_stretch(&suspects),
        id,
    )
    .fetch_one(conn)
    .await?;
    Ok(Report { ran_at, violations, invariants })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_through_the_past_and_stay_where_something_is_wrong() {
        let id = |n: u128| Uuid::from_u128(n);
        let clean = Suspects::from([("a".to_owned(), BTreeSet::new())]);
        let wrong = Suspects::from([("a".to_owned(), BTreeSet::from(["an order".to_owned()]))]);
        let middle = Reach { stretch: id(10)..id(20), recent: id(90)..Uuid::max() };
        let last = Reach { stretch: id(80)..Uuid::max(), recent: Uuid::max()..Uuid::max() };
        for (reach, suspects, next) in [
            (&middle, &clean, id(20)),
            (&middle, &wrong, id(10)),
            (&last, &clean, Uuid::nil()),
            (&last, &wrong, id(80)),
        ] {
            assert_eq!(reach.next_stretch(suspects), next);
        }
    }
}
