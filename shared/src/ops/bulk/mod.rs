//! Actions on many jobs or orders at once: a preview, then steps that a job carries out. Alone writes `bulk_actions`.
//!
//! A step takes a bounded number and commits. It waits while the queues are behind, so fresh orders go first. Where a
//! canary is asked for, one job runs first, with a single attempt; the others follow only if it succeeds. All state is in
//! the row, so a step (`step`) can be repeated after a crash.

pub mod step;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::orders::read::{self, OrderFilter};
use crate::orders::status::Status;
use crate::page::{List, Page, Position};
use crate::principal::{By, Permission, Principal};
use crate::queue::dead::{self, DeadJobs};
use crate::queue::{self, Job, Plan, Queue, Ring};
use crate::scope::Scope;
use crate::values::whole_number::WholeNumber;
use crate::values::{CustomerId, JobId, Money, Note};

/// Counting stops here.
const MAX_COUNT: i64 = 10_000;
/// Orders whose totals are added up in a preview.
const MAX_ORDERS: i64 = 2_000;
/// An action on more than this needs a reason.
const WITHOUT_REASON: i64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum BulkAction {
    Retry,
    Discard,
    CancelOrders,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum BulkState {
    /// One job runs; the others wait for it
    Canary,
    /// The canary failed
    Halted,
    Running,
    /// By a person
    Stopped,
    Done,
}

/// Which dead jobs, or which orders.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkFilter {
    /// Jobs of this kind
    #[schema(pattern = r"^[^\u0000]*$")]
    pub kind: Option<String>,
    /// Jobs of this queue
    pub queue: Option<Queue>,
    /// Jobs that died of this error, by its fingerprint
    #[schema(pattern = r"^[^\u0000]*$")]
    pub error: Option<String>,
    /// Orders in this state
    pub status: Option<Status>,
    /// Orders of this customer
    #[schema(value_type = Option<Uuid>)]
    pub customer_id: Option<CustomerId>,
    /// Orders placed at this time or later
    pub from: Option<DateTime<Utc>>,
    /// Orders placed before this time
    pub to: Option<DateTime<Utc>>,
}

/// The body of POST /v1/ops/bulk.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"action": "retry", "filter": {"error": "9f2c66aa01d3"}, "dry_run": true}))]
pub struct StartBulk {
    pub action: BulkAction,
    pub filter: BulkFilter,
    /// Required for more than ten
    pub reason: Option<Note>,
    /// Only tell what it would do
    #[serde(default)]
    pub dry_run: bool,
    /// Try one job first, with one attempt (for `retry` only)
    #[serde(default)]
    pub canary: bool,
    /// As the preview said: nothing newer is taken
    pub upto: Option<Uuid>,
    /// As the preview said: if the number is another one now, nothing is done
    #[schema(value_type = Option<i64>)]
    pub expected: Option<WholeNumber>,
}

/// What an action would do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "count": 312, "more": false, "orders": 312, "money": [{"amount": 4_122_000, "currency": "USD"}], "over": 3,
    "at_least": false, "oldest": "2026-11-21T08:15:00Z", "upto": "0197a2c4-5d10-7cc3-98a1-3f2b6c8d9e01"
}))]
pub struct BulkPreview {
    /// Jobs, or orders to cancel
    pub count: i64,
    /// There are more than `count`: counting stops at 10,000
    pub more: bool,
    /// Open orders that wait on them
    pub orders: i64,
    /// The totals of these orders
    pub money: Vec<Money>,
    /// Jobs whose order is over: they will do nothing
    pub over: i64,
    /// `orders`, `money` and `over` are of the first 2,000 only
    pub at_least: bool,
    pub oldest: Option<DateTime<Utc>>,
    /// The newest of them
    pub upto: Option<Uuid>,
}

/// An action on many.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01", "action": "retry", "filter": {"error": "9f2c66aa01d3"},
    "state": "running", "total": 312, "done": 200, "failed": 1, "refused": 0, "canary": null, "error": null,
    "reason": "the provider is back", "by": {"id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01", "name": "Sam Staff"},
    "created_at": "2026-11-21T09:30:00Z", "updated_at": "2026-11-21T09:31:00Z"
}))]
pub struct BulkView {
    pub id: Uuid,
    pub action: BulkAction,
    pub filter: BulkFilter,
    pub state: BulkState,
    /// How many there were
    pub total: i64,
    /// How many were taken
    pub done: i64,
    /// Of these, how many died again (counting stops at 10,000)
    pub failed: i64,
    /// Orders that could not be cancelled any more
    pub refused: i64,
    /// The job that was tried first
    #[schema(value_type = Option<Uuid>)]
    pub canary: Option<JobId>,
    /// Why the canary failed
    pub error: Option<String>,
    pub reason: Option<String>,
    pub by: By,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Takes the next step of an action.
///
/// In the default queue: `low` is the one that is paused for the longest, and `high` is for payments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkStep {
    pub bulk_id: Uuid,
}

impl Job for BulkStep {
    const KIND: &'static str = "bulk_step";
    const QUEUE: Queue = Queue::Default;
}

impl BulkFilter {
    fn jobs(&self) -> DeadJobs<'_> {
        DeadJobs { kind: self.kind.as_deref(), queue: self.queue, error_fingerprint: self.error.as_deref() }
    }

    fn orders(&self) -> OrderFilter {
        OrderFilter {
            status: self.status,
            customer_id: self.customer_id,
            from: self.from,
            to: self.to,
            ..OrderFilter::default()
        }
    }

    /// A filter of the other kind of thing would silently select everything.
    fn check(&self, action: BulkAction) -> Result<()> {
        let of_jobs = self.kind.is_some() || self.queue.is_some() || self.error.is_some();
        let of_orders = self.status.is_some() || self.customer_id.is_some() || self.from.is_some() || self.to.is_some();
        match action {
            BulkAction::CancelOrders if of_jobs => Err(wrong_filter("orders have no kind, queue or error")),
            BulkAction::CancelOrders if !of_orders => Err(wrong_filter("name a status, a customer or a time")),
            BulkAction::Retry | BulkAction::Discard if of_orders => {
                Err(wrong_filter("jobs have no status, customer or time"))
            }
            _ => Ok(()),
        }
    }
}

fn wrong_filter(message: &str) -> Error {
    Error::field("filter", "invalid_filter", message)
}

// ---- preview ---------------------------------------------------------------------------------

/// What an action would do now, up to the newest of what it selects, or up to `upto`.
pub async fn preview(
    conn: &mut PgConnection,
    action: BulkAction,
    filter: &BulkFilter,
    upto: Option<Uuid>,
) -> Result<BulkPreview> {
    filter.check(action)?;
    if action == BulkAction::CancelOrders {
        preview_orders(conn, filter, upto).await
    } else {
        preview_jobs(conn, filter, upto).await
    }
}

async fn preview_jobs(conn: &mut PgConnection, filter: &BulkFilter, upto: Option<Uuid>) -> Result<BulkPreview> {
    let found = dead::measure(conn, filter.jobs(), upto, MAX_COUNT).await?;
    let rows = sqlx::query!(
        r#"with first as materialized (
               select order_id from jobs
                where state = 'dead' and ($1::text is null or kind = $1) and ($2::queue is null or queue = $2)
                  and ($3::text is null or error_fingerprint = $3) and id <= $4
                order by id limit $5),
           part as (select order_id, count(*) as jobs from first group by order_id)
           select o.currency as "currency?", count(o.id) filter (where o.status = any($6)) as "orders!",
                  coalesce(sum(o.total_minor) filter (where o.status = any($6)), 0)::bigint as "total!",
                  coalesce(sum(part.jobs) filter (where o.status <> all($6)), 0)::bigint as "over!"
             from part left join orders o on o.id = part.order_id group by o.currency order by o.currency"#,
        filter.kind,
        filter.queue as Option<Queue>,
        filter.error,
        found.newest,
        MAX_ORDERS,
        &Status::names(|status| !status.is_final()) as &[&str],
    )
    .fetch_all(conn)
    .await?;
    Ok(BulkPreview {
        count: found.count.min(MAX_COUNT),
        more: found.count > MAX_COUNT,
        orders: rows.iter().map(|row| row.orders).sum(),
        over: rows.iter().map(|row| row.over).sum(),
        at_least: found.count > MAX_ORDERS,
        oldest: found.oldest_at,
        upto: found.newest,
        money: rows
            .into_iter()
            .filter(|row| row.orders > 0)
            .filter_map(|row| Some(Money::stored(row.total, &row.currency?)))
            .collect(),
    })
}

async fn preview_orders(conn: &mut PgConnection, filter: &BulkFilter, upto: Option<Uuid>) -> Result<BulkPreview> {
    let ids = read::ids_to_cancel(conn, &filter.orders(), None, upto, MAX_COUNT + 1).await?;
    let first: Vec<Uuid> = ids.iter().take(usize::try_from(MAX_ORDERS).expect("it is small")).map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select currency, count(*) as "orders!", sum(total_minor)::bigint as "total!", min(created_at) as oldest
             from orders where id = any($1) group by currency order by currency"#,
        &first,
    )
    .fetch_all(conn)
    .await?;
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    Ok(BulkPreview {
        count: count.min(MAX_COUNT),
        more: count > MAX_COUNT,
        orders: rows.iter().map(|row| row.orders).sum(),
        over: 0,
        at_least: count > MAX_ORDERS,
        oldest: rows.iter().filter_map(|row| row.oldest).min(),
        upto: ids.last().map(|id| id.0),
        money: rows.into_iter().map(|row| Money::stored(row.total, &row.currency)).collect(),
    })
}

// ---- starting, continuing, stopping ----------------------------------------------------------

/// Starts an action, in one transaction with its first step's job. The preview must still hold.
pub async fn start(
    conn: &mut PgConnection,
    principal: &Principal,
    asked: &StartBulk,
    plan: &Plan,
) -> Result<(BulkView, Vec<Ring>)> {
    let by = principal.by().ok_or(Error::Forbidden { needed: "staff" })?;
    require_for(principal, asked.action)?;
    let now = preview(conn, asked.action, &asked.filter, asked.upto).await?;
    if asked.expected.is_some_and(|expected| expected.0 != now.count) {
        return Err(Error::PreviewStale { preview: json!(now) });
    }
    let Some(upto) = now.upto else {
        return Err(Error::field("filter", "nothing_selected", "nothing fits this filter"));
    };
    if now.count > WITHOUT_REASON && asked.reason.is_none() {
        let message = format!("say why: this is about more than {WITHOUT_REASON}");
        return Err(Error::field("reason", "missing_field", message));
    }
    let canary = asked.canary && asked.action == BulkAction::Retry;
    let state = if canary { BulkState::Canary } else { BulkState::Running };
    let reason = asked.reason.as_ref().map(Note::as_str);
    let id = sqlx::query_scalar!(
        "insert into bulk_actions (action, filter, upto, state, untried, total, reason, actor_id, actor_name, request_id)
         values ($1, $2, $3, $4, $4 = 'canary', $5, $6, $7, $8, $9) returning id",
        asked.action as BulkAction,
        json!(asked.filter),
        upto,
        state as BulkState,
        now.count,
        reason,
        by.id,
        by.name,
        principal.source.request_id,
    )
    .fetch_one(&mut *conn)
    .await?;
    let data = json!({ "action": asked.action, "filter": asked.filter, "count": now.count, "canary": canary });
    actions::record(conn, principal, Action::new("bulk.started", "bulk", id).reason(reason).data(data)).await?;
    let ring = queue::enqueue(conn, &BulkStep { bulk_id: id }, plan).await?;
    Ok((get(conn, id).await?, ring.into_iter().collect()))
}

/// A key that may not cancel one order may not cancel many.
fn require_for(principal: &Principal, action: BulkAction) -> Result<()> {
    if action == BulkAction::CancelOrders
        && principal.service_account().is_some_and(|_| !principal.may(Permission::OrdersCancel))
    {
        return Err(Error::InsufficientScope { needed: vec![Scope::OpsWrite.name(), Scope::OrdersCancel.name()] });
    }
    Ok(())
}

/// Goes on although the canary failed, or after somebody stopped it: then with the canary, if that had not passed yet.
pub async fn go_on(
    conn: &mut PgConnection,
    principal: &Principal,
    id: Uuid,
    plan: &Plan,
) -> Result<(BulkView, Vec<Ring>)> {
    if principal.service_account().is_some() {
        require_for(principal, get(conn, id).await?.action)?;
    }
    let changed = sqlx::query!(
        "update bulk_actions
            set state = case when state = 'stopped' and untried then 'canary' else 'running' end,
                untried = untried and state = 'stopped', updated_at = statement_timestamp()
          where id = $1 and state in ('halted', 'stopped')",
        id,
    );
    let mut rings = Vec::new();
    if changed.execute(&mut *conn).await?.rows_affected() > 0 {
        actions::record(conn, principal, Action::new("bulk.continued", "bulk", id)).await?;
        rings.extend(queue::enqueue(conn, &BulkStep { bulk_id: id }, plan).await?);
    }
    Ok((get(conn, id).await?, rings))
}

/// Takes no further step. What was taken goes on. Repeating it changes nothing.
pub async fn stop(conn: &mut PgConnection, principal: &Principal, id: Uuid) -> Result<BulkView> {
    let changed = sqlx::query!(
        "update bulk_actions set state = 'stopped', updated_at = statement_timestamp() where id = $1 and state in ('canary', 'running')",
        id,
    );
    if changed.execute(&mut *conn).await?.rows_affected() > 0 {
        actions::record(conn, principal, Action::new("bulk.stopped", "bulk", id)).await?;
    }
    get(conn, id).await
}

// ---- reading ---------------------------------------------------------------------------------

pub async fn get(conn: &mut PgConnection, id: Uuid) -> Result<BulkView> {
    read_some(conn, &[id]).await?.pop().ok_or(Error::NotFound(Resource::Bulk))
}

/// The newest first.
pub async fn list(conn: &mut PgConnection, page: &Page) -> Result<List<BulkView>> {
    let ids = sqlx::query_scalar!(
        "select id from bulk_actions where $1::uuid is null or id < $1 order by id desc limit $2",
        page.after_id(),
        page.fetch(),
    );
    let ids = page.list(ids.fetch_all(&mut *conn).await?, |id| Position::from(*id));
    Ok(List { data: read_some(conn, &ids.data).await?, next_cursor: ids.next_cursor })
}

async fn read_some(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<BulkView>> {
    let rows = sqlx::query!(
        r#"select b.id, b.action as "action: BulkAction", b.filter as "filter: Json<BulkFilter>", b.state as "state: BulkState",
                  b.total, b.done, b.refused, b.canary as "canary: JobId", b.error, b.reason, b.actor_id, b.actor_name,
                  b.created_at, b.updated_at,
                  (select count(*) from (select from jobs j where j.bulk_id = b.id and j.state = 'dead' limit $2) part) as "failed!"
             from bulk_actions b where b.id = any($1) order by b.id desc"#,
        ids,
        MAX_COUNT,
    )
    .fetch_all(conn)
    .await?;
    let views = rows.into_iter().map(|row| BulkView {
        id: row.id,
        action: row.action,
        filter: row.filter.0,
        state: row.state,
        total: row.total,
        done: row.done,
        failed: row.failed,
        refused: row.refused,
        canary: row.canary,
        error: row.error,
        reason: row.reason,
        by: By { id: row.actor_id, name: row.actor_name },
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    Ok(views.collect())
}
