//! The audit: one list of what must always be true, each as one query for whatever breaks it. Alone writes
//! `audit_runs`; reads every other table, and repairs nothing.

mod invariants;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use self::invariants::{INVARIANTS, Invariant, LEDGER, Of};
use crate::error::Result;
use crate::inventory::ledger;
use crate::page;

/// More suspects than this of one invariant are not told apart: something is very wrong, and it is known.
const MAX_SUSPECTS: i64 = 1000;
/// Offenders that a report shows of each invariant.
const SHOWN: usize = 50;
/// A look at everything reads whole tables, so it may take longer than what a request asks for.
const STATEMENT_TIMEOUT: &str = "120s";
/// Somebody else's run is waited for so long.
const PATIENCE: &str = "60s";
/// Orders of the past that a run by the clock looks at: some seconds.
const STRETCH: i64 = 100_000;
/// Orders that are this young every run looks at.
const RECENT_DAYS: i32 = 2;
/// Between two looks. What is only on its way from one book to the other has arrived by then.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long runs are kept.
const KEPT_DAYS: i32 = 30;
/// Any constant number: runs take turns, so that each has a run before it.
const LOCK: i64 = 0x6175_6469;

/// What a run found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Report {
    pub ran_at: DateTime<Utc>,
    /// Over all invariants; 0 is how it must be
    #[schema(example = 0)]
    pub violations: i64,
    pub invariants: Vec<Finding>,
}

/// How one invariant stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    #[schema(example = "stock_is_never_negative")]
    pub name: String,
    /// What was seen to break it twice; counted up to 1,000
    #[schema(example = 0)]
    pub violations: i64,
    /// The first 50 of them, with what is wrong
    #[schema(value_type = Vec<Object>)]
    pub offenders: Vec<Value>,
}

/// What looked wrong to a run, by invariant. Only what the next run sees again is a violation.
type Suspects = BTreeMap<String, BTreeSet<String>>;

/// Looks once, at what is recent and at the next stretch of the past, and stores what it found. What the run before
/// did not see is a suspect, not yet a violation: the provider's books are another snapshot than ours.
pub async fn run(db: &PgPool) -> Result<Report> {
    Ok(look(db, false).await?.0)
}

/// Looks at everything, and where something looks wrong for the first time looks again a moment later: the answer
/// is final.
pub async fn run_to_certainty(db: &PgPool) -> Result<Report> {
    let (report, news) = look(db, true).await?;
    if !news {
        return Ok(report);
    }
    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    Ok(look(db, true).await?.0)
}

/// What the last run found; none if there was none yet.
pub async fn last(conn: &mut PgConnection) -> Result<Option<Report>> {
    let row = sqlx::query!(
        r#"select ran_at, violations, invariants as "invariants: Json<Vec<Finding>>"
             from audit_runs order by id desc limit 1"#
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Report { ran_at: row.ran_at, violations: row.violations.into(), invariants: row.invariants.0 }))
}

/// One run, and whether it saw anything that the run before had not seen.
async fn look(db: &PgPool, everything: bool) -> Result<(Report, bool)> {
    let mut tx = db.begin().await?;
    take_turn(&mut tx).await?;
    let reach = if everything { Reach::everything() } else { Reach::next(&mut tx).await? };
    let before = suspects_of_last(&mut tx).await?;
    let (mut suspects, mut invariants) = (Suspects::new(), Vec::with_capacity(INVARIANTS.len()));
    let mut news = false;
    for invariant in &INVARIANTS {
        let seen = offenders(&mut tx, invariant, &reach).await?;
        let known = |key: &String| before.get(invariant.name).is_some_and(|keys| keys.contains(key));
        let again: Vec<&Value> = seen.iter().filter(|(key, _)| known(key)).map(|(_, offender)| offender).collect();
        news |= again.len() < seen.len();
        invariants.push(Finding {
            name: invariant.name.to_owned(),
            violations: i64::try_from(again.len()).expect("it is limited"),
            offenders: again.into_iter().take(SHOWN).cloned().collect(),
        });
        suspects.insert(invariant.name.to_owned(), seen.into_iter().map(|(key, _)| key).collect());
    }
    // What is wrong must stay to be seen.
    if suspects[LEDGER].is_empty() {
        ledger::checkpoint(&mut tx).await?;
    }
    let report = store(&mut tx, invariants, suspects, &reach).await?;
    tx.commit().await?;
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
    Ok((report, news))
}

/// Which orders a run looks at, by their ids, which are times. A run by the clock takes the recent ones and a stretch
/// of the past, and the next run the stretch behind it: so its cost does not grow with the years, and yet every
/// order is looked at again and again.
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
                                         order by id desc limit 1), $3::uuid) as stretch) next"#,
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

    /// Where the next run begins: behind this one, or again at what looked wrong, until it does not.
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
    let orders = match invariant.offenders {
        Of::All(sql) => return Ok(sqlx::query_as(sql).bind(MAX_SUSPECTS).fetch_all(conn).await?),
        Of::Orders(sql) => sql,
    };
    let mut seen = Vec::new();
    for span in [&reach.stretch, &reach.recent].into_iter().filter(|span| !span.is_empty()) {
        // Planned anew each time: a day of orders and a year of them are found in different ways.
        let found = sqlx::query_as(orders).bind(MAX_SUSPECTS).bind(span.start).bind(span.end).persistent(false);
        seen.extend(found.fetch_all(&mut *conn).await?);
    }
    Ok(seen)
}

async fn take_turn(conn: &mut PgConnection) -> Result<()> {
    for (setting, value) in [("lock_timeout", PATIENCE), ("statement_timeout", STATEMENT_TIMEOUT)] {
        sqlx::query_scalar!("select set_config($1, $2, true)", setting, value).fetch_one(&mut *conn).await?;
    }
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK).execute(conn).await?;
    Ok(())
}

async fn suspects_of_last(conn: &mut PgConnection) -> Result<Suspects> {
    let last = sqlx::query_scalar!(
        r#"select suspects as "suspects: Json<Suspects>" from audit_runs order by id desc limit 1"#
    )
    .fetch_optional(conn)
    .await?;
    Ok(last.map(|Json(suspects)| suspects).unwrap_or_default())
}

/// Keeps the run, and forgets the very old ones.
async fn store(conn: &mut PgConnection, invariants: Vec<Finding>, suspects: Suspects, reach: &Reach) -> Result<Report> {
    let violations: i64 = invariants.iter().map(|finding| finding.violations).sum();
    let ran_at = sqlx::query_scalar!(
        "with old as (delete from audit_runs where ran_at < now() - make_interval(days => $4))
         insert into audit_runs (violations, invariants, suspects, next_stretch) values ($1, $2, $3, $5) returning ran_at",
        i32::try_from(violations).expect("it is limited"),
        Json(&invariants) as _,
        Json(&suspects) as _,
        KEPT_DAYS,
        reach.next_stretch(&suspects),
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
