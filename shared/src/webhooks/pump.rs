//! One shard of an endpoint, as its job works on it: what is due, how an attempt went, and when to look again.
//!
//! Order: all events of a subject are in one shard, and a shard has one job. The job sends an event only when the one before
//! it is `delivered` or `failed`. Everything here checks that the job is still the one of its shard (`turn`), and what
//! writes also that its attempt is still the current one. So a worker that was frozen cannot write what it has missed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::jobs::{DeliverWebhooks, plan};
use crate::error::Result;
use crate::feed::record::event_id;
use crate::platform::db::{CustomPlan, prefer_ordered_indexes};
use crate::queue::{self, LeasedJob, Ring, settle};

/// With `max_per_second`, attempts are planned this far ahead.
const AHEAD: Duration = Duration::from_secs(1);
/// A job waits so long for its next delivery, before it leaves that to another job.
const LINGER: Duration = Duration::from_millis(500);

/// An attempt that may be made now.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    pub position: i64,
    pub subject: Uuid,
    /// `webhook-id`
    pub event_id: String,
    pub body: String,
    /// The number of the attempt, from 1, and how many counted against the ten before it.
    pub attempt: i32,
    pub used: i32,
    pub probe: bool,
    /// With `max_per_second`: how long to wait first.
    pub wait: Duration,
}

/// Where attempts go now, and with what they are signed.
#[derive(Debug, Clone)]
pub struct Recipient {
    pub url: String,
    pub secret_number: i32,
    /// Does the secret before also sign?
    pub previous_signs: bool,
}

struct EndpointNow {
    recipient: Recipient,
    failing: bool,
    probe_at: Option<DateTime<Utc>>,
    probe_is_due: bool,
    probed_position: i64,
    max_per_second: Option<i32>,
}

/// What may be sent now: at most `room` deliveries, none of a subject that is `busy`. `hold`: how long a probe keeps other
/// probes away, if this process dies with it.
pub async fn take(
    conn: &mut PgConnection,
    job: DeliverWebhooks,
    busy: &[Uuid],
    room: usize,
    hold: Duration,
) -> Result<Option<(Recipient, Vec<DueDelivery>)>> {
    let Some(endpoint) = endpoint_now(conn, job).await? else { return Ok(None) };
    prefer_ordered_indexes(conn).await?;
    let due = if endpoint.failing {
        if endpoint.probe_is_due && busy.is_empty() { probe(conn, job, &endpoint, hold).await? } else { Vec::new() }
    } else {
        let room = match endpoint.max_per_second {
            Some(most) => room.min(usize::try_from(most).unwrap_or(1)),
            None => room,
        };
        let mut due = heads(conn, job, busy, room).await?;
        if let Some(most) = endpoint.max_per_second
            && !due.is_empty()
        {
            space_out(conn, job, most, &mut due).await?;
        }
        due
    };
    Ok(Some((endpoint.recipient, due)))
}

/// None: it is not enabled, or this job is stale.
async fn endpoint_now(conn: &mut PgConnection, job: DeliverWebhooks) -> Result<Option<EndpointNow>> {
    let row = sqlx::query!(
        r#"select url, secret_number, coalesce(previous_until > now(), false) as "previous_signs!", max_per_second,
                  failing_since is not null as "failing!", probe_at, coalesce(probe_at <= now(), false) as "probe_is_due!",
                  probed_position
             from webhook_endpoints e join webhook_pumps p on p.endpoint_id = e.id
            where e.id = $1 and e.state = 'enabled' and e.deleted_at is null and p.shard = $2 and p.turn = $3"#,
        job.endpoint_id.0,
        job.shard,
        job.turn,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| EndpointNow {
        recipient: Recipient { url: row.url, secret_number: row.secret_number, previous_signs: row.previous_signs },
        failing: row.failing,
        probe_at: row.probe_at,
        probe_is_due: row.probe_is_due,
        probed_position: row.probed_position,
        max_per_second: row.max_per_second,
    }))
}

struct DueRow {
    position: i64,
    subject: Uuid,
    sequence: i32,
    attempts: i32,
    used: i32,
    body: String,
}

impl DueRow {
    fn delivery(self, probe: bool) -> DueDelivery {
        DueDelivery {
            position: self.position,
            subject: self.subject,
            event_id: event_id(self.subject, self.sequence),
            body: self.body,
            attempt: self.attempts + 1,
            used: self.used,
            probe,
            wait: Duration::ZERO,
        }
    }
}

/// The first waiting delivery of each subject, where it is due.
///
/// Deliveries go from none to millions in minutes. So what reads them by their state has no plan from when there were none
/// (`CustomPlan`), and does not depend on statistics: a subquery finds the first one of a subject by its index, where with
/// `not exists` Postgres compared everything that waited at the endpoint.
async fn heads(conn: &mut PgConnection, job: DeliverWebhooks, busy: &[Uuid], room: usize) -> Result<Vec<DueDelivery>> {
    let rows = sqlx::query_as!(
        DueRow,
        "select d.position, d.subject, d.sequence, d.attempts, d.used, b.body
           from webhook_deliveries d join webhook_bodies b using (position)
          where d.endpoint_id = $1 and d.shard = $2 and d.state = 'pending' and d.next_attempt_at <= now()
            and d.subject <> all($3)
            and d.sequence = (select first.sequence from webhook_deliveries first
                               where first.endpoint_id = d.endpoint_id and first.subject = d.subject and first.state = 'pending'
                               order by first.endpoint_id, first.subject, first.sequence limit 1)
          order by d.next_attempt_at, d.position limit $4",
        job.endpoint_id.0,
        job.shard,
        busy,
        i64::try_from(room).unwrap_or(i64::MAX),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(rows.into_iter().map(|row| row.delivery(false)).collect())
}

/// The next delivery to probe a failing endpoint with: the oldest of each subject in turn, over all shards. Empty, if it is
/// another shard's, or another process has just taken it.
async fn probe(
    conn: &mut PgConnection,
    job: DeliverWebhooks,
    endpoint: &EndpointNow,
    hold: Duration,
) -> Result<Vec<DueDelivery>> {
    let mut next = oldest_after(conn, job, endpoint.probed_position).await?;
    if next.is_none() {
        next = oldest_after(conn, job, 0).await?;
    }
    let Some((shard, row)) = next else { return Ok(Vec::new()) };
    if shard != job.shard {
        return Ok(Vec::new());
    }
    let taken = sqlx::query!(
        "update webhook_endpoints set probe_at = statement_timestamp() + make_interval(secs => $3), probed_position = $4
          where id = $1 and probe_at = $2 and state = 'enabled'",
        job.endpoint_id.0,
        endpoint.probe_at,
        hold.as_secs_f64(),
        row.position,
    )
    .execute(conn)
    .await?;
    Ok(if taken.rows_affected() == 1 { vec![row.delivery(true)] } else { Vec::new() })
}

async fn oldest_after(conn: &mut PgConnection, job: DeliverWebhooks, position: i64) -> Result<Option<(i16, DueRow)>> {
    let row = sqlx::query!(
        "select d.shard, d.position, d.subject, d.sequence, d.attempts, d.used, b.body
           from webhook_deliveries d join webhook_bodies b using (position)
          where d.endpoint_id = $1 and d.state = 'pending' and d.position > $2
            and d.sequence = (select first.sequence from webhook_deliveries first
                               where first.endpoint_id = d.endpoint_id and first.subject = d.subject and first.state = 'pending'
                               order by first.endpoint_id, first.subject, first.sequence limit 1)
          order by d.endpoint_id, d.state, d.position limit 1",
        job.endpoint_id.0,
        position,
    )
    .fetch_optional(CustomPlan(conn))
    .await?;
    Ok(row.map(|row| {
        let due = DueRow {
            position: row.position,
            subject: row.subject,
            sequence: row.sequence,
            attempts: row.attempts,
            used: row.used,
            body: row.body,
        };
        (row.shard, due)
    }))
}

/// Plans when each attempt may begin. What has no place within the next second is left for later.
async fn space_out(
    conn: &mut PgConnection,
    job: DeliverWebhooks,
    most_per_second: i32,
    due: &mut Vec<DueDelivery>,
) -> Result<()> {
    let step = 1.0 / f64::from(most_per_second);
    let planned = sqlx::query!(
        r#"with old as materialized (
               select id, greatest(next_send_at, statement_timestamp()) as begin
                 from webhook_endpoints where id = $1 for no key update),
           given as materialized (
               select id, begin, extract(epoch from begin - statement_timestamp())::float8 as wait,
                      greatest(0, least($2::int, floor(extract(epoch from statement_timestamp() + make_interval(secs => $4) - begin)::float8
                                                       / $3::float8)::int)) as places
                 from old),
           next as materialized (
               select id, places, wait, begin + make_interval(secs => places * $3::float8) as send_at from given)
           update webhook_endpoints e set next_send_at = next.send_at from next where e.id = next.id
        returning next.places as "places!", next.wait as "wait!""#,
        job.endpoint_id.0,
        i32::try_from(due.len()).unwrap_or(i32::MAX),
        step,
        AHEAD.as_secs_f64(),
    )
    .fetch_optional(conn)
    .await?;
    let (places, wait) = planned.map_or((0, 0.0), |row| (usize::try_from(row.places).unwrap_or(0), row.wait.max(0.0)));
    due.truncate(places);
    for (delivery, place) in due.iter_mut().zip(0_u32..) {
        delivery.wait = Duration::from_secs_f64(wait + f64::from(place) * step);
    }
    Ok(())
}

/// What a job does that has nothing to send.
#[derive(Debug)]
pub enum Finished {
    /// Something is due soon: roll back, and look again after this.
    Soon(Duration),
    /// It has ended, and another job may follow. Commit.
    Ended(Option<Ring>),
}

/// Ends the job, unless something is due soon. Another job follows, if something is due later, or if this one `must_end`.
pub async fn finish(
    conn: &mut PgConnection,
    leased: &LeasedJob,
    job: DeliverWebhooks,
    must_end: bool,
) -> Result<Finished> {
    settle::finish(conn, leased).await?;
    let pump = sqlx::query!(
        "select turn from webhook_pumps where endpoint_id = $1 and shard = $2 and turn = $3 for no key update",
        job.endpoint_id.0,
        job.shard,
        job.turn,
    )
    .fetch_optional(&mut *conn)
    .await?;
    if pump.is_none() {
        return Ok(Finished::Ended(None)); // It was stale, or the endpoint is gone.
    }
    prefer_ordered_indexes(conn).await?;
    let next = next_due(conn, job).await?;
    let Some((next, wait)) = next else {
        sqlx::query!(
            "update webhook_pumps set due_at = null where endpoint_id = $1 and shard = $2",
            job.endpoint_id.0,
            job.shard
        )
        .execute(conn)
        .await?;
        return Ok(Finished::Ended(None));
    };
    if !must_end && wait < LINGER {
        return Ok(Finished::Soon(wait));
    }
    let turn = job.turn + 1;
    sqlx::query!(
        "update webhook_pumps set turn = $3, due_at = $4 where endpoint_id = $1 and shard = $2",
        job.endpoint_id.0,
        job.shard,
        turn,
        next,
    )
    .execute(&mut *conn)
    .await?;
    Ok(Finished::Ended(queue::enqueue(conn, &DeliverWebhooks { turn, ..job }, &plan(wait)).await?))
}

/// When this shard has something to send, and how long that is from now. The caller has locked its pump. Of a failing
/// endpoint that is its next probe, whichever shard makes it.
async fn next_due(conn: &mut PgConnection, job: DeliverWebhooks) -> Result<Option<(DateTime<Utc>, Duration)>> {
    let row = sqlx::query!(
        r#"select next as "next!", extract(epoch from next - clock_timestamp())::float8 as "wait!"
             from (select greatest(d.next_attempt_at, e.probe_at,
                                   e.next_send_at + make_interval(secs => 1.0::float8 / e.max_per_second - $3::float8)) as next
                     from webhook_endpoints e
                    cross join lateral (
                          select case when e.probe_at is null then d.next_attempt_at end as next_attempt_at
                            from webhook_deliveries d
                           where d.endpoint_id = e.id and d.shard = $2 and d.state = 'pending'
                             and d.sequence = (select first.sequence from webhook_deliveries first
                                                where first.endpoint_id = d.endpoint_id and first.subject = d.subject
                                                  and first.state = 'pending'
                                                order by first.endpoint_id, first.subject, first.sequence limit 1)
                           order by d.next_attempt_at, d.position limit 1) d
                    where e.id = $1 and e.state = 'enabled' and e.deleted_at is null) soonest"#,
        job.endpoint_id.0,
        job.shard,
        AHEAD.as_secs_f64(),
    )
    .fetch_optional(CustomPlan(conn))
    .await?;
    Ok(row.map(|row| (row.next, Duration::from_secs_f64(row.wait.max(0.0)))))
}
