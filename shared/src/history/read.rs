//! Statistics over time, for charts: throughput, waits, running times, depths, orders.
//!
//! A step is answered from the rows of its own length, up to the last one that is folded, and after that from shorter
//! ones. So the newest numbers are ten seconds old at any step.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::IntoParams;

pub use super::points::{
    DepthPoint, History, JobsPoint, OrdersPoint, Percentiles, RequestsPoint, RunsPoint, Step, WaitsPoint,
};
use super::{CurrencyTotal, RAN_BUCKETS, WAITED_BUCKETS};
use crate::error::{Error, Result};
use crate::queue::Queue;

/// The points of one series in an answer. A chart is about that many pixels wide.
const MAX_POINTS: i64 = 1000;
/// The range, if the request does not name one.
const DEFAULT_RANGE: TimeDelta = TimeDelta::hours(1);

/// Which time, in which steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryRange {
    /// The distance of two points; `1m` if not given. Steps of 10 s are kept for 2 h, minutes for 48 h, hours for 400 days
    pub step: Option<Step>,
    /// From this time on; an hour before `to` if not given
    pub from: Option<DateTime<Utc>>,
    /// Before this time; now if not given
    pub to: Option<DateTime<Utc>>,
}

/// A range with all its parts.
#[derive(Debug, Clone, Copy)]
struct Range {
    step: Step,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl HistoryRange {
    fn parse(self, now: DateTime<Utc>) -> Result<Range> {
        let (step, to) = (self.step.unwrap_or(Step::Minute), self.to.unwrap_or(now));
        let from = self.from.or_else(|| to.checked_sub_signed(DEFAULT_RANGE)).unwrap_or(to);
        if from > to {
            return Err(Error::field("from", "invalid_range", "it is before `to`"));
        }
        if (to - from).num_seconds() / i64::from(step.seconds()) > MAX_POINTS {
            let message = format!("at most {MAX_POINTS} steps lie between `from` and `to`: take a longer step");
            return Err(Error::field("step", "range_too_long", message));
        }
        Ok(Range { step, from, to })
    }
}

/// The rows that answer a range: of each stored step, those of a part of the range.
#[derive(Debug, Default)]
struct Parts {
    steps: Vec<i32>,
    from: Vec<DateTime<Utc>>,
    to: Vec<DateTime<Utc>>,
}

impl Range {
    /// Hours up to the last folded one, from there on minutes, then steps of ten seconds. The last folded row may not be
    /// complete, so its time is answered from shorter steps.
    fn parts(self, last_minute: Option<DateTime<Utc>>, last_hour: Option<DateTime<Utc>>) -> Parts {
        let (mut parts, mut from) = (Parts::default(), self.from);
        for (step, end) in [(3600, last_hour), (60, last_minute), (10, Some(self.to))] {
            let end = end.unwrap_or(from).min(self.to);
            if step <= self.step.stored() && end > from {
                parts.steps.push(step);
                parts.from.push(from);
                parts.to.push(end);
                from = end;
            }
        }
        parts
    }

    fn seconds(self) -> f64 {
        f64::from(self.step.seconds())
    }
}

/// The parts of a range in each table: a table has a row only where something happened.
struct AllParts {
    jobs: Parts,
    queues: Parts,
    shop: Parts,
    requests: Parts,
}

async fn parts(conn: &mut PgConnection, range: Range) -> Result<AllParts> {
    let last = sqlx::query!(
        "select (select max(at) from job_history where step = 60) as job_minute,
                (select max(at) from job_history where step = 3600) as job_hour,
                (select max(at) from queue_history where step = 60) as queue_minute,
                (select max(at) from queue_history where step = 3600) as queue_hour,
                (select max(at) from shop_history where step = 60) as shop_minute,
                (select max(at) from shop_history where step = 3600) as shop_hour,
                (select max(at) from request_history where step = 60) as request_minute,
                (select max(at) from request_history where step = 3600) as request_hour"
    )
    .fetch_one(conn)
    .await?;
    Ok(AllParts {
        jobs: range.parts(last.job_minute, last.job_hour),
        queues: range.parts(last.queue_minute, last.queue_hour),
        shop: range.parts(last.shop_minute, last.shop_hour),
        requests: range.parts(last.request_minute, last.request_hour),
    })
}

/// All series of a range.
pub async fn read(conn: &mut PgConnection, range: HistoryRange) -> Result<History> {
    let range = range.parse(Utc::now())?;
    let parts = parts(conn, range).await?;
    Ok(History {
        step: range.step,
        from: range.from,
        to: range.to,
        jobs: jobs(conn, range, &parts.jobs).await?,
        waits: waits(conn, range, &parts.jobs).await?,
        runs: runs(conn, range, &parts.jobs).await?,
        depths: depths(conn, range, &parts.queues).await?,
        orders: orders(conn, range, &parts.shop).await?,
        requests: requests(conn, range, &parts.requests).await?,
    })
}

async fn jobs(conn: &mut PgConnection, range: Range, parts: &Parts) -> Result<Vec<JobsPoint>> {
    Ok(sqlx::query_as!(
        JobsPoint,
        r#"select date_bin(make_interval(secs => $1), h.at, 'epoch') as "at!", queue as "queue: Queue", kind, outcome,
                  sum(count)::bigint as "count!"
             from unnest($2::int[], $3::timestamptz[], $4::timestamptz[]) part (step, low, high)
             join job_history h on h.step = part.step and h.at >= part.low and h.at < part.high
            group by 1, queue, kind, outcome order by 1, queue, kind, outcome"#,
        range.seconds(),
        &parts.steps,
        &parts.from,
        &parts.to,
    )
    .fetch_all(conn)
    .await?)
}

async fn waits(conn: &mut PgConnection, range: Range, parts: &Parts) -> Result<Vec<WaitsPoint>> {
    let rows = sqlx::query!(
        r#"select date_bin(make_interval(secs => $1), h.at, 'epoch') as "at!", queue as "queue: Queue",
                  sum(count)::bigint as "count!", sum_arrays(waited) as "waited!"
             from unnest($2::int[], $3::timestamptz[], $4::timestamptz[]) part (step, low, high)
             join job_history h on h.step = part.step and h.at >= part.low and h.at < part.high
            group by 1, queue order by 1, queue"#,
        range.seconds(),
        &parts.steps,
        &parts.from,
        &parts.to,
    )
    .fetch_all(conn)
    .await?;
    let point = |at, queue, count, buckets: &[i64]| {
        Some(WaitsPoint { at, queue, count, times: Percentiles::of(buckets, &WAITED_BUCKETS)? })
    };
    Ok(rows.into_iter().filter_map(|row| point(row.at, row.queue, row.count, &row.waited)).collect())
}

async fn runs(conn: &mut PgConnection, range: Range, parts: &Parts) -> Result<Vec<RunsPoint>> {
    let rows = sqlx::query!(
        r#"select date_bin(make_interval(secs => $1), h.at, 'epoch') as "at!", kind, sum(count)::bigint as "count!",
                  sum_arrays(ran) as "ran!"
             from unnest($2::int[], $3::timestamptz[], $4::timestamptz[]) part (step, low, high)
             join job_history h on h.step = part.step and h.at >= part.low and h.at < part.high
            group by 1, kind order by 1, kind"#,
        range.seconds(),
        &parts.steps,
        &parts.from,
        &parts.to,
    )
    .fetch_all(conn)
    .await?;
    let point = |at, kind, count, buckets: &[i64]| {
        Some(RunsPoint { at, kind, count, times: Percentiles::of(buckets, &RAN_BUCKETS)? })
    };
    Ok(rows.into_iter().filter_map(|row| point(row.at, row.kind, row.count, &row.ran)).collect())
}

async fn depths(conn: &mut PgConnection, range: Range, parts: &Parts) -> Result<Vec<DepthPoint>> {
    Ok(sqlx::query_as!(
        DepthPoint,
        r#"select distinct on (1, queue) date_bin(make_interval(secs => $1), h.at, 'epoch') as "at!",
                  queue as "queue: Queue", ready, scheduled, running, dead, oldest_seconds, paused
             from unnest($2::int[], $3::timestamptz[], $4::timestamptz[]) part (step, low, high)
             join queue_history h on h.step = part.step and h.at >= part.low and h.at < part.high
            order by 1, queue, h.at desc"#,
        range.seconds(),
        &parts.steps,
        &parts.from,
        &parts.to,
    )
    .fetch_all(conn)
    .await?)
}

async fn orders(conn: &mut PgConnection, range: Range, parts: &Parts) -> Result<Vec<OrdersPoint>> {
    Ok(sqlx::query_as!(
        OrdersPoint,
        r#"select date_bin(make_interval(secs => $1), h.at, 'epoch') as "at!", currency, sum(placed)::bigint as "placed!",
                  sum(value)::bigint as "value!"
             from unnest($2::int[], $3::timestamptz[], $4::timestamptz[]) part (step, low, high)
             join shop_history h on h.step = part.step and h.at >= part.low and h.at < part.high
            group by 1, currency order by 1, currency"#,
        range.seconds(),
        &parts.steps,
        &parts.from,
        &parts.to,
    )
    .fetch_all(conn)
    .await?)
}

async fn requests(conn: &mut PgConnection, range: Range, parts: &Parts) -> Result<Vec<RequestsPoint>> {
    let rows = sqlx::query!(
        r#"select date_bin(make_interval(secs => $1), h.at, 'epoch') as "at!", class, sum(requests)::bigint as "requests!",
                  sum(failed)::bigint as "failed!", sum_arrays(took) as "took!"
             from unnest($2::int[], $3::timestamptz[], $4::timestamptz[]) part (step, low, high)
             join request_history h on h.step = part.step and h.at >= part.low and h.at < part.high
            group by 1, class order by 1, class"#,
        range.seconds(),
        &parts.steps,
        &parts.from,
        &parts.to,
    )
    .fetch_all(conn)
    .await?;
    let points = rows.into_iter().filter_map(|row| {
        let times = Percentiles::of(&row.took, &RAN_BUCKETS)?;
        Some(RequestsPoint { at: row.at, class: row.class, requests: row.requests, failed: row.failed, times })
    });
    Ok(points.collect())
}

/// Orders placed from this time on, per currency.
pub async fn placed_since(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<CurrencyTotal>> {
    let range = Range { step: Step::Hour, from, to };
    let parts = parts(conn, range).await?;
    let mut totals: Vec<CurrencyTotal> = Vec::new();
    for point in orders(conn, range, &parts.shop).await? {
        let currency = point.currency.parse().expect("the currency of an order was valid");
        match totals.iter_mut().find(|total| total.currency == currency) {
            Some(total) => {
                total.orders += point.placed;
                total.value += point.value;
            }
            None => totals.push(CurrencyTotal { currency, orders: point.placed, value: point.value }),
        }
    }
    Ok(totals)
}

/// How long jobs waited in each queue, from this time on.
pub async fn waits_since(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<(Queue, Percentiles)>> {
    let range = Range { step: Step::TenSeconds, from, to };
    let rows = sqlx::query!(
        r#"select queue as "queue: Queue", sum_arrays(waited) as "waited!" from job_history
            where step = $1 and at >= $2 and at < $3 group by queue order by queue"#,
        range.step.stored(),
        range.from,
        range.to,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.queue, Percentiles::of(&row.waited, &WAITED_BUCKETS)?))).collect())
}

impl Percentiles {
    /// None if nothing was counted.
    fn of(buckets: &[i64], bounds: &[f64]) -> Option<Self> {
        let ms = |share| Some((percentile(buckets, bounds, share)? * 1_000_000.0).round() / 1000.0);
        Some(Self { p50_ms: ms(0.5)?, p95_ms: ms(0.95)?, p99_ms: ms(0.99)? })
    }
}

/// In seconds. Within a bucket, values are taken to lie evenly, as Prometheus does. Beyond the last bound it is that bound.
#[expect(clippy::cast_precision_loss, reason = "an estimate from buckets is not more exact than 52 bits")]
fn percentile(buckets: &[i64], bounds: &[f64], share: f64) -> Option<f64> {
    let rank = share * buckets.iter().sum::<i64>() as f64;
    let mut below = 0.0;
    for (index, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
        let low = index.checked_sub(1).and_then(|before| bounds.get(before)).copied().unwrap_or(0.0);
        let high = bounds.get(index).copied().unwrap_or(low);
        let count = *count as f64;
        if below + count >= rank {
            return Some(low + (high - low) * ((rank - below) / count));
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_estimated_within_a_bucket() {
        let bounds = [1.0, 2.0, 4.0];
        for (buckets, share, expected) in [
            (&[10, 0, 0, 0][..], 0.5, Some(0.5)),
            (&[5, 5, 0, 0], 0.95, Some(1.9)),
            (&[0, 0, 4, 0], 0.5, Some(3.0)),
            (&[0, 0, 0, 7], 0.5, Some(4.0)),
            (&[0, 0, 0, 0], 0.5, None),
            (&[], 0.5, None),
        ] {
            assert_eq!(percentile(buckets, &bounds, share), expected, "{buckets:?} {share}");
        }
    }

    #[test]
    fn a_range_is_answered_from_long_steps_as_far_as_they_are_folded() {
        let at = |minutes: i64| DateTime::from_timestamp(minutes * 60, 0).unwrap();
        let range = |step, from, to| Range { step, from: at(from), to: at(to) };
        for (range, minute, hour, steps, ends) in [
            (range(Step::Hour, 0, 200), Some(190), Some(180), vec![3600, 60, 10], vec![180, 190, 200]),
            (range(Step::FiveMinutes, 0, 200), Some(190), Some(180), vec![60, 10], vec![190, 200]),
            (range(Step::TenSeconds, 0, 200), Some(190), Some(180), vec![10], vec![200]),
            (range(Step::Hour, 195, 200), Some(190), Some(180), vec![10], vec![200]),
            (range(Step::Hour, 0, 100), Some(190), Some(180), vec![3600], vec![100]),
            (range(Step::Day, 0, 200), None, None, vec![10], vec![200]),
        ] {
            let parts = range.parts(minute.map(at), hour.map(at));
            assert_eq!((parts.steps, parts.to), (steps, ends.into_iter().map(at).collect()), "{range:?}");
        }
    }

    #[test]
    fn a_range_has_bounds() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let day = HistoryRange { step: Some(Step::TenSeconds), from: Some(now - TimeDelta::days(1)), to: None };
        assert_eq!(day.parse(now).unwrap_err().code(), "range_too_long");
        let backwards = HistoryRange { step: None, from: Some(now + TimeDelta::days(1)), to: None };
        assert_eq!(backwards.parse(now).unwrap_err().code(), "invalid_range");
        assert_eq!(HistoryRange::default().parse(now).unwrap().from, now - DEFAULT_RANGE);
    }
}
