//! The audit: one list of what must always be true, each as one query for whatever breaks it. Alone writes
//! `audit_runs`; reads every other table, and repairs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use crate::error::Result;

/// One thing that must be true, and how to find what breaks it.
struct Invariant {
    name: &'static str,
    /// Answers `(key, offender)`, sorted by the key, at most `$1` of them. Not one of the checked macros: those
    /// each have a type of their own and make no list. The tests run every one.
    offenders: &'static str,
}

/// More suspects than this of one invariant are not told apart: something is very wrong, and it is known.
const MAX_SUSPECTS: i64 = 1000;
/// Offenders that a report shows of each invariant.
const SHOWN: usize = 50;
/// Every query reads whole tables, so it may take longer than what a request asks for.
const STATEMENT_TIMEOUT: &str = "120s";
/// Somebody else's run is waited for so long.
const PATIENCE: &str = "60s";
/// Between two looks. What is only on its way from one book to the other has arrived by then.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long runs are kept.
const KEPT_DAYS: i32 = 30;
/// Any constant number: runs take turns, so that each has a run before it.
const LOCK: i64 = 0x6175_6469;

const INVARIANTS: [Invariant; 11] = [
    Invariant {
        name: "reserved_is_what_reservations_hold",
        offenders: "
            select i.product_id || ' ' || i.warehouse_id,
                   jsonb_build_object('product_id', i.product_id, 'warehouse_id', i.warehouse_id,
                                      'reserved', i.reserved, 'held_by_reservations', coalesce(h.quantity, 0))
              from inventory i
              left join (select l.product_id, l.warehouse_id, sum(l.quantity) as quantity
                           from reservations r join reservation_lines l on l.reservation_id = r.id
                          where r.state in ('held', 'posted') group by 1, 2) h using (product_id, warehouse_id)
             where i.reserved <> coalesce(h.quantity, 0)
             order by 1 limit $1",
    },
    Invariant {
        name: "stock_is_the_sum_of_its_movements",
        offenders: "
            select i.product_id || ' ' || i.warehouse_id,
                   jsonb_build_object('product_id', i.product_id, 'warehouse_id', i.warehouse_id,
                                      'on_hand', i.on_hand, 'on_hand_by_movements', coalesce(m.on_hand, 0),
                                      'reserved', i.reserved, 'reserved_by_movements', coalesce(m.reserved, 0))
              from inventory i
              left join (select product_id, warehouse_id, sum(on_hand_delta) as on_hand, sum(reserved_delta) as reserved
                           from stock_movements group by 1, 2) m using (product_id, warehouse_id)
             where (i.on_hand, i.reserved) <> (coalesce(m.on_hand, 0), coalesce(m.reserved, 0))
             order by 1 limit $1",
    },
    Invariant {
        name: "stock_is_never_negative",
        offenders: "
            select product_id || ' ' || warehouse_id,
                   jsonb_build_object('product_id', product_id, 'warehouse_id', warehouse_id,
                                      'on_hand', on_hand, 'reserved', reserved)
              from inventory where not (0 <= reserved and reserved <= on_hand)
             order by 1 limit $1",
    },
    Invariant {
        name: "total_is_the_sum_of_its_items",
        offenders: "
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'total', o.total_minor, 'sum_of_items', i.total)
              from orders o
              left join (select order_id, sum(quantity::bigint * unit_price_minor) as total
                           from order_items group by 1) i on i.order_id = o.id
             where o.total_minor is distinct from i.total
             order by 1 limit $1",
    },
    Invariant {
        name: "our_ledger_charged_each_sale_once",
        offenders: "
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'status', o.status, 'total', o.total_minor,
                                      'charged', coalesce(sum(c.amount_minor) filter (where c.state = 'charged'), 0),
                                      'charges', count(*) filter (where c.state = 'charged'),
                                      'unsettled', count(*) filter (where c.state = 'started'))
              from orders o left join charges c on c.order_id = o.id
             where o.status in ('paid', 'shipped', 'delivered', 'cancelled')
             group by o.id
            having case o.status
                   when 'cancelled' then count(*) filter (where c.state in ('started', 'charged')) > 0
                   else count(*) filter (where c.state = 'charged') <> 1
                     or not bool_and(c.amount_minor = o.total_minor and c.currency = o.currency)
                           filter (where c.state = 'charged')
                   end
             order by 1 limit $1",
    },
    // Our charges' ids are the provider's keys. A sale that was paid for by hand must not stand in its books too.
    Invariant {
        name: "the_provider_charged_each_sale_once",
        offenders: "
            select * from (
                select o.id::text,
                       jsonb_build_object('order_id', o.id, 'status', o.status, 'total', o.total_minor,
                                          'in_the_books', coalesce(sum(b.amount_minor), 0), 'charges', count(b.key))
                  from orders o
                  left join charges c on c.order_id = o.id
                  left join simulated.charges b on b.key = c.id and b.state = 'charged'
                 where o.status in ('paid', 'shipped', 'delivered', 'cancelled')
                 group by o.id
                having count(b.key) <> case when o.status = 'cancelled' or bool_or(c.manual and c.state = 'charged')
                                             then 0 else 1 end
                    or not coalesce(bool_and(b.amount_minor = o.total_minor and b.currency = o.currency)
                                    filter (where b.key is not null), true)
                union all
                select b.key::text,
                       jsonb_build_object('unknown_charge', b.key, 'in_the_books', b.amount_minor)
                  from simulated.charges b
                 where b.state = 'charged' and not exists (select from charges c where c.id = b.key)
            ) offenders (key, offender)
             order by 1 limit $1",
    },
    Invariant {
        name: "cancelled_orders_hold_nothing",
        offenders: "
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'reservation_id', r.id, 'reservation', r.state,
                                      'shipments', (select count(*) from shipments s where s.order_id = o.id))
              from orders o left join reservations r on r.order_id = o.id
             where o.status = 'cancelled'
               and (r.state not in ('released', 'expired') or exists (select from shipments s where s.order_id = o.id))
             order by 1 limit $1",
    },
    // For each line of a reservation that left, and for each movement that says so: one is the other, once.
    Invariant {
        name: "what_was_shipped_left_once",
        offenders: "
            select * from (
                select order_id::text,
                       jsonb_build_object('order_id', order_id, 'lines', jsonb_agg(jsonb_build_object(
                           'product_id', product_id, 'warehouse_id', warehouse_id,
                           'to_leave', coalesce(owed.quantity, 0), 'left', coalesce(gone.quantity, 0))))
                  from (select r.order_id, l.product_id, l.warehouse_id, l.quantity
                          from orders o
                          join reservations r on r.order_id = o.id
                          join reservation_lines l on l.reservation_id = r.id
                         where o.status in ('shipped', 'delivered')) owed
                  full join (select order_id, product_id, warehouse_id, -sum(on_hand_delta) as quantity
                               from stock_movements where reason = 'shipped' and order_id is not null
                              group by 1, 2, 3) gone using (order_id, product_id, warehouse_id)
                 where owed.quantity is distinct from gone.quantity
                 group by order_id
                union all
                select o.id::text,
                       jsonb_build_object('order_id', o.id, 'status', o.status, 'reservation', r.state)
                  from orders o left join reservations r on r.order_id = o.id
                 where (o.status in ('shipped', 'delivered')) <> (coalesce(r.state, '') = 'shipped')
            ) offenders (key, offender)
             order by 1 limit $1",
    },
    // For the job of its state. One that is dead or was discarded stands in front of a person (`next_action`).
    Invariant {
        name: "every_open_order_waits_for_somebody",
        offenders: "
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'status', o.status, 'since', o.updated_at)
              from orders o
             where o.status in ('pending', 'processing', 'paid', 'shipped', 'cancelling')
               and not exists (select from jobs j
                                where j.order_id = o.id and j.state <> 'done'
                                  and j.kind = any (case o.status
                                      when 'paid' then array['ship_order']
                                      when 'shipped' then array['deliver_order']
                                      when 'cancelling' then array['cancel_order']
                                      else array['process_payment', 'cancel_order'] end))
             order by 1 limit $1",
    },
    // A lease that has just run out is the sweep's to find; one that ran out long ago is nobody's.
    Invariant {
        name: "nothing_runs_without_a_lease",
        offenders: "
            select id::text,
                   jsonb_build_object('job_id', id, 'kind', kind, 'worker', worker, 'lease_until', lease_until)
              from jobs
             where state = 'running'
               and (lease_until is null or lease_until < clock_timestamp() - interval '1 minute')
             order by 1 limit $1",
    },
    Invariant {
        name: "event_sequences_have_no_gaps",
        offenders: "
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'counted', o.event_sequence, 'events', coalesce(e.events, 0),
                                      'last', e.last)
              from orders o
              left join (select order_id, count(*) as events, min(sequence) as first, max(sequence) as last
                           from order_events group by 1) e on e.order_id = o.id
             where (e.events, e.first, e.last) is distinct from (o.event_sequence::bigint, 1, o.event_sequence)
             order by 1 limit $1",
    },
];

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

/// Looks once and stores what it found. What the run before did not see is a suspect, not yet a violation:
/// the provider's books are another snapshot than ours.
pub async fn run(db: &PgPool) -> Result<Report> {
    Ok(look(db).await?.0)
}

/// Runs, and where something looked wrong for the first time runs again a moment later: the answer is final.
pub async fn run_to_certainty(db: &PgPool) -> Result<Report> {
    let (report, news) = look(db).await?;
    if !news {
        return Ok(report);
    }
    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    Ok(look(db).await?.0)
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
async fn look(db: &PgPool) -> Result<(Report, bool)> {
    let mut tx = db.begin().await?;
    take_turn(&mut tx).await?;
    let before = suspects_of_last(&mut tx).await?;
    let (mut suspects, mut invariants) = (Suspects::new(), Vec::with_capacity(INVARIANTS.len()));
    let mut news = false;
    for invariant in &INVARIANTS {
        let seen: Vec<(String, Value)> =
            sqlx::query_as(invariant.offenders).bind(MAX_SUSPECTS).fetch_all(&mut *tx).await?;
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
    let report = store(&mut tx, invariants, suspects).await?;
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
async fn store(conn: &mut PgConnection, invariants: Vec<Finding>, suspects: Suspects) -> Result<Report> {
    let violations: i64 = invariants.iter().map(|finding| finding.violations).sum();
    let ran_at = sqlx::query_scalar!(
        "with old as (delete from audit_runs where ran_at < now() - make_interval(days => $4))
         insert into audit_runs (violations, invariants, suspects) values ($1, $2, $3) returning ran_at",
        i32::try_from(violations).expect("it is limited"),
        Json(&invariants) as _,
        Json(&suspects) as _,
        KEPT_DAYS,
    )
    .fetch_one(conn)
    .await?;
    Ok(Report { ran_at, violations, invariants })
}
