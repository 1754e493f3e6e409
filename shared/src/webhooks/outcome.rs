//! Records how attempts went: the delivery, the log, and what the endpoint has become by it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::endpoints::DisabledReason;
use super::jobs::DeliverWebhooks;
use super::pump::DueDelivery;
use super::times::{FAILURES, PROBES, RetryTimes};
use super::wake;
use crate::error::Result;
use crate::feed::data::{WebhookDisabled, WebhookEnd};
use crate::feed::record::{self, EntityEvent};
use crate::platform::db::CustomPlan;
use crate::queue::{LeasedJob, Ring, settle};

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum AttemptError {
    /// It answered, but not with 2xx
    Status,
    Timeout,
    Connection,
    Tls,
    /// Its address is an inner one that `WEBHOOK_ALLOW` does not name; nothing was sent
    AddressNotAllowed,
}

/// How an attempt went.
#[derive(Debug, Clone)]
pub struct MadeAttempt {
    pub delivery: DueDelivery,
    pub at: DateTime<Utc>,
    pub took: Duration,
    pub status: Option<u16>,
    /// None: it succeeded.
    pub error: Option<AttemptError>,
    /// The beginning of the answer.
    pub response: Option<String>,
    /// Already scaled.
    pub retry_after: Option<Duration>,
}

/// The answer that says that nobody is there any more.
const GONE: u16 = 410;

/// How the endpoint is doing, before and after attempts.
#[derive(Debug, Clone, PartialEq)]
struct Health {
    failures: i32,
    failing_since: Option<DateTime<Utc>>,
    probes: i32,
    probe_at: Option<DateTime<Utc>>,
    last_success_at: Option<DateTime<Utc>>,
    disabled: Option<DisabledReason>,
}

impl Health {
    /// What it has become by this attempt.
    fn after(self, made: &MadeAttempt, now: DateTime<Utc>, times: RetryTimes) -> Self {
        if made.error.is_none() {
            let last_success_at = Some(now);
            return Self { failures: 0, failing_since: None, probes: 0, probe_at: None, last_success_at, ..self };
        }
        let mut next = Self { failures: self.failures.saturating_add(1), ..self };
        let wait_for_probe = |probes: i32| {
            let planned = times.before_probe(usize::try_from(probes).unwrap_or(0));
            Some(now + planned.max(made.retry_after.unwrap_or_default()))
        };
        if made.status == Some(GONE) {
            next.disabled = Some(DisabledReason::Gone);
        } else if let Some(since) = next.failing_since {
            if made.delivery.probe {
                next.probes += 1;
                next.probe_at = wait_for_probe(next.probes);
                let long_enough = (now - since).to_std().unwrap_or_default() >= times.disabled_after();
                if next.probes >= PROBES && long_enough {
                    next.disabled = Some(DisabledReason::Failing);
                }
            }
        } else if next.failures >= FAILURES {
            next.failing_since = Some(now);
            next.probes = 0;
            next.probe_at = wait_for_probe(0);
        }
        next
    }
}

/// Records attempts in the order in which they ended. `LeaseLost`: another worker has the shard, and nothing is kept.
pub async fn record(
    conn: &mut PgConnection,
    leased: &LeasedJob,
    job: DeliverWebhooks,
    made: &[MadeAttempt],
    times: RetryTimes,
) -> Result<Vec<Ring>> {
    settle::hold(conn, leased).await?;
    let all_succeeded = made.iter().all(|made| made.error.is_none());
    if all_succeeded && is_well(conn, job).await? {
        write_deliveries(conn, job, made, times).await?;
        write_log(conn, job, made).await?;
        write_success(conn, job).await?;
        return Ok(Vec::new());
    }
    let row = sqlx::query!(
        r#"select failures, failing_since, probes, probe_at, last_success_at, clock_timestamp() as "now!"
             from webhook_endpoints e join webhook_pumps p on p.endpoint_id = e.id and p.shard = $2 and p.turn = $3
            where e.id = $1 and deleted_at is null for no key update of e"#,
        job.endpoint_id.0,
        job.shard,
        job.turn,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let now = row.now;
    let before = Health {
        failures: row.failures,
        failing_since: row.failing_since,
        probes: row.probes,
        probe_at: row.probe_at,
        last_success_at: row.last_success_at,
        disabled: None,
    };
    write_deliveries(conn, job, made, times).await?;
    write_log(conn, job, made).await?;
    let after = made.iter().fold(before.clone(), |health, made| health.after(made, now, times));
    write_health(conn, job, &before, &after).await
}

/// Is the job the one of its shard, and has the endpoint no failure that a success would end? It takes no lock, so that the
/// shards of an endpoint that works do not wait for each other. If another shard records a failure meanwhile, our successes
/// count as earlier.
async fn is_well(conn: &mut PgConnection, job: DeliverWebhooks) -> Result<bool> {
    let well = sqlx::query_scalar!(
        r#"select failures = 0 and failing_since is null as "well!"
             from webhook_endpoints e join webhook_pumps p on p.endpoint_id = e.id and p.shard = $2 and p.turn = $3
            where e.id = $1 and deleted_at is null"#,
        job.endpoint_id.0,
        job.shard,
        job.turn,
    )
    .fetch_optional(conn)
    .await?;
    Ok(well.unwrap_or(false))
}

/// To the second: one shard writes it for all.
async fn write_success(conn: &mut PgConnection, job: DeliverWebhooks) -> Result<()> {
    sqlx::query!(
        "update webhook_endpoints set last_success_at = statement_timestamp()
          where id = (select id from webhook_endpoints
                       where id = $1 and (last_success_at is null or last_success_at < statement_timestamp() - interval '1 second')
                         for no key update skip locked)",
        job.endpoint_id.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The state is hidden from the planner: if it believed that nothing is pending, it would read everything that is.
async fn write_deliveries(
    conn: &mut PgConnection,
    job: DeliverWebhooks,
    made: &[MadeAttempt],
    times: RetryTimes,
) -> Result<()> {
    let (mut positions, mut subjects, mut states, mut used, mut waits) = (vec![], vec![], vec![], vec![], vec![]);
    for made in made {
        let counted = made.delivery.used + i32::from(made.error.is_some() && !made.delivery.probe);
        let (state, wait) = match made.error {
            None => ("delivered", None),
            Some(_) if made.delivery.probe => ("pending", None),
            Some(_) => match times.after_failure(usize::try_from(counted).unwrap_or(0), fastrand::f64()) {
                Some(wait) => ("pending", Some(wait.max(made.retry_after.unwrap_or_default()).as_secs_f64())),
                None => ("failed", None),
            },
        };
        positions.push(made.delivery.position);
        subjects.push(made.delivery.subject);
        states.push(state);
        used.push(counted);
        waits.push(wait);
    }
    sqlx::query!(
        "with made as materialized (
             select position, state, used, statement_timestamp() as now,
                    statement_timestamp() + make_interval(secs => wait) as again_at
               from unnest($2::bigint[], $3::text[], $4::int[], $5::float8[]) made (position, state, used, wait))
         update webhook_deliveries d
            set state = made.state, attempts = d.attempts + 1, used = made.used,
                next_attempt_at = coalesce(made.again_at, d.next_attempt_at),
                delivered_at = case when made.state = 'delivered' then made.now end,
                ended_at = case when made.state <> 'pending' then made.now end
           from made
          where d.endpoint_id = $1 and d.position = made.position and d.state = (select $6)",
        job.endpoint_id.0,
        &positions,
        &states as &[&str],
        &used,
        &waits as &[Option<f64>],
        "pending",
    )
    .execute(CustomPlan(&mut *conn))
    .await?;
    if waits.iter().all(Option::is_none) {
        return Ok(());
    }
    // The later events of a subject wait with it. They would wait anyway; so they are not looked at each time.
    sqlx::query!(
        "with made as materialized (
             select position, subject, statement_timestamp() + make_interval(secs => wait) as again_at
               from unnest($2::bigint[], $3::uuid[], $4::float8[]) made (position, subject, wait) where wait is not null)
         update webhook_deliveries d set next_attempt_at = made.again_at from made
          where d.endpoint_id = $1 and d.subject = made.subject and d.state = (select $5)
            and d.position > made.position and d.next_attempt_at < made.again_at",
        job.endpoint_id.0,
        &positions,
        &subjects,
        &waits as &[Option<f64>],
        "pending",
    )
    .execute(CustomPlan(conn))
    .await?;
    Ok(())
}

async fn write_log(conn: &mut PgConnection, job: DeliverWebhooks, made: &[MadeAttempt]) -> Result<()> {
    let ms = |took: Duration| i32::try_from(took.as_millis()).unwrap_or(i32::MAX);
    sqlx::query!(
        "insert into webhook_attempts (endpoint_id, position, attempt, at, status, ms, error, response)
         select d.endpoint_id, made.*
           from unnest($2::bigint[], $3::int[], $4::timestamptz[], $5::int[], $6::int[], $7::text[], $8::text[])
                made (position, attempt, at, status, ms, error, response)
           join webhook_deliveries d on d.endpoint_id = $1 and d.position = made.position
         on conflict do nothing",
        job.endpoint_id.0,
        &made.iter().map(|made| made.delivery.position).collect::<Vec<_>>(),
        &made.iter().map(|made| made.delivery.attempt).collect::<Vec<_>>(),
        &made.iter().map(|made| made.at).collect::<Vec<_>>(),
        &made.iter().map(|made| made.status.map(i32::from)).collect::<Vec<_>>() as &[Option<i32>],
        &made.iter().map(|made| ms(made.took)).collect::<Vec<_>>(),
        &made.iter().map(|made| made.error).collect::<Vec<_>>() as &[Option<AttemptError>],
        &made.iter().map(|made| made.response.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
    )
    .execute(CustomPlan(conn))
    .await?;
    Ok(())
}

/// Writes how the endpoint is doing. All its shards look at it again where that changes when they may send.
async fn write_health(
    conn: &mut PgConnection,
    job: DeliverWebhooks,
    before: &Health,
    after: &Health,
) -> Result<Vec<Ring>> {
    sqlx::query!(
        "update webhook_endpoints
            set failures = $2, failing_since = $3, probes = $4, probe_at = $5, last_success_at = $6,
                state = case when $7::text is null then state else 'disabled' end,
                disabled_reason = coalesce($7, disabled_reason),
                version = version + case when $7::text is null or state = 'disabled' then 0 else 1 end,
                updated_at = case when $7::text is null or state = 'disabled' then updated_at else t.now end
           from (select statement_timestamp() as now) t
          where id = $1",
        job.endpoint_id.0,
        after.failures,
        after.failing_since,
        after.probes,
        after.probe_at,
        after.last_success_at,
        after.disabled as Option<DisabledReason>,
    )
    .execute(&mut *conn)
    .await?;
    if let Some(reason) = after.disabled {
        tracing::warn!(webhook.id = %job.endpoint_id, ?reason, "webhook {} is disabled", job.endpoint_id);
        tell(conn, job.endpoint_id.0, reason, after.failing_since).await?;
        return Ok(Vec::new());
    }
    if before.probe_at == after.probe_at {
        return Ok(Vec::new());
    }
    wake::wake(conn, &wake::all_of(job.endpoint_id), after.probe_at).await
}

async fn tell(
    conn: &mut PgConnection,
    endpoint: Uuid,
    reason: DisabledReason,
    failing_since: Option<DateTime<Utc>>,
) -> Result<()> {
    let reason = match reason {
        DisabledReason::Gone => WebhookEnd::Gone,
        DisabledReason::Failing => WebhookEnd::Failing,
    };
    let event = EntityEvent::WebhookDisabled(WebhookDisabled { reason, failing_since });
    record::record(conn, &[(endpoint, event)]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: RetryTimes = RetryTimes { scale: 1.0 };

    fn made(status: u16, probe: bool) -> MadeAttempt {
        let delivery = DueDelivery {
            position: 1,
            subject: Uuid::nil(),
            event_id: String::new(),
            body: String::new(),
            attempt: 1,
            used: 0,
            probe,
            wait: Duration::ZERO,
        };
        let error = (status != 200).then_some(AttemptError::Status);
        let (at, took) = (Utc::now(), Duration::ZERO);
        MadeAttempt { delivery, at, took, status: Some(status), error, response: None, retry_after: None }
    }

    fn fresh() -> Health {
        Health { failures: 0, failing_since: None, probes: 0, probe_at: None, last_success_at: None, disabled: None }
    }

    #[test]
    fn five_failures_in_a_row_begin_the_probes_and_a_success_ends_them() {
        let now = Utc::now();
        let fail = |health: Health| health.after(&made(500, false), now, TIMES);
        let four = (0..4).fold(fresh(), |health, _| fail(health));
        assert_eq!(four.failing_since, None);
        let five = fail(four.clone());
        assert_eq!((five.failing_since, five.probe_at), (Some(now), Some(now + Duration::from_mins(5))));
        let probed = five.after(&made(500, true), now, TIMES);
        assert_eq!((probed.probes, probed.probe_at), (1, Some(now + Duration::from_mins(30))));
        let opened = probed.after(&made(200, true), now, TIMES);
        assert_eq!(opened, Health { last_success_at: Some(now), ..fresh() });
        let reset = four.after(&made(200, false), now, TIMES);
        assert_eq!(fail(reset).failing_since, None, "a success ends the row of failures");
    }

    #[test]
    fn three_days_and_ten_probes_disable_and_410_does_at_once() {
        let now = Utc::now();
        let failing = |since: Duration, probes| Health {
            failing_since: Some(now - since),
            probes,
            probe_at: Some(now),
            ..fresh()
        };
        let three_days = Duration::from_hours(72);
        for (since, probes, disabled) in [
            (three_days, 9, Some(DisabledReason::Failing)),
            (three_days, 8, None),
            (Duration::from_hours(71), 100, None),
        ] {
            assert_eq!(failing(since, probes).after(&made(500, true), now, TIMES).disabled, disabled, "{probes}");
        }
        assert_eq!(failing(three_days, 100).after(&made(500, false), now, TIMES).disabled, None, "it was no probe");
        assert_eq!(fresh().after(&made(410, false), now, TIMES).disabled, Some(DisabledReason::Gone));
    }

    #[test]
    fn retry_after_puts_a_probe_off() {
        let now = Utc::now();
        let probing = Health { failing_since: Some(now), probe_at: Some(now), ..fresh() };
        let asked = MadeAttempt { retry_after: Some(Duration::from_hours(2)), ..made(503, true) };
        assert_eq!(probing.after(&asked, now, TIMES).probe_at, Some(now + Duration::from_hours(2)));
    }
}
