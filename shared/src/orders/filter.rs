//! Which orders a list shows. Most filters of staff have no index: an index on orders costs every order that is placed. A
//! page therefore looks at a bounded number of orders, and may be shorter than its limit. Writes no table.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::status::Status;
use super::{PaymentStatus, Who};
use crate::error::{Error, Result};
use crate::page::{IdRange, List, Page, Position};
use crate::platform::db::CustomPlan;
use crate::values::{CustomerId, Email, OrderId, OrderNumber, Sku, WarehouseId};

/// Orders that one page looks at: some 100 ms.
const LOOKED_AT: i64 = 20_000;

/// Which of the orders that the caller may see. From `number` on, for staff only.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrderFilter {
    pub status: Option<Status>,
    #[param(value_type = Option<Uuid>)]
    pub customer_id: Option<CustomerId>,
    /// Placed at this time or later
    pub from: Option<DateTime<Utc>>,
    /// Placed before this time
    pub to: Option<DateTime<Utc>>,
    /// Exactly this order, in any case, with or without `M-`
    #[param(pattern = r"^[^\u0000]*$")]
    pub number: Option<String>,
    /// Of the customers with this address, in any case
    pub email: Option<Email>,
    /// With a line of this product
    #[param(value_type = Option<String>)]
    pub sku: Option<Sku>,
    /// With a charge in this state
    pub payment: Option<PaymentStatus>,
    /// That leave from this warehouse
    #[param(value_type = Option<Uuid>)]
    pub warehouse_id: Option<WarehouseId>,
    /// Open orders whose next step is a worker's, or a person's
    pub next_by: Option<Who>,
    /// Open orders whose next step should have been taken a minute ago; false: all others
    pub overdue: Option<bool>,
    /// In minor units
    pub min_total: Option<i64>,
    /// In minor units
    pub max_total: Option<i64>,
    /// `newest` first if not given
    pub order: Option<ListOrder>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListOrder {
    Newest,
    Oldest,
}

impl OrderFilter {
    /// Does it ask for something that only staff may ask for?
    pub(super) fn is_for_staff(&self) -> bool {
        self.number.is_some() || self.email.is_some() || self.needs_a_look() || self.order.is_some()
    }

    /// Does an order have to be looked at, because no index tells?
    fn needs_a_look(&self) -> bool {
        self.sku.is_some()
            || self.payment.is_some()
            || self.warehouse_id.is_some()
            || self.next_by.is_some()
            || self.overdue.is_some()
            || self.min_total.is_some()
            || self.max_total.is_some()
    }

    /// Is the list the plain one, that an index gives in its order?
    pub(super) fn is_plain(&self) -> bool {
        !self.is_for_staff()
    }

    fn order_id(&self) -> Result<Option<i64>> {
        let parse = |text: &String| {
            let number = text.parse::<OrderNumber>();
            number.map(|number| number.0).map_err(|invalid| Error::InvalidFields(vec![invalid.at("number")]))
        };
        self.number.as_ref().map(parse).transpose()
    }
}

/// The ids of a page, for staff. If the orders that a page looks at are used up, it ends there, and the next page goes on.
pub(super) async fn ids(conn: &mut PgConnection, filter: &OrderFilter, page: &Page) -> Result<List<OrderId>> {
    let looked_at = looked_at(conn, filter, page).await?;
    let last = looked_at.last().copied();
    let is_used_up = i64::try_from(looked_at.len()).is_ok_and(|count| count == LOOKED_AT);
    let found = fitting(conn, filter, &looked_at, page.fetch()).await?;
    let full = i64::try_from(found.len()).is_ok_and(|count| count == page.fetch());
    let list = page.list(found, |id| Position::from(id.0));
    match last.filter(|_| is_used_up && !full) {
        Some(last) => Ok(page.ending_at(list.data, Position::from(last))),
        None => Ok(list),
    }
}

/// The next orders that an index finds, in the order of the list.
async fn looked_at(conn: &mut PgConnection, filter: &OrderFilter, page: &Page) -> Result<Vec<Uuid>> {
    let range = IdRange::between(filter.from, filter.to);
    let limit = if filter.needs_a_look() { LOOKED_AT } else { page.fetch() };
    let oldest_first = filter.order == Some(ListOrder::Oldest);
    let ids = sqlx::query_scalar!(
        r#"with newest as (
               select id from orders
                where not $1 and ($2::text is null or (status = $2 and stage = $12)) and ($3::uuid is null or customer_id = $3)
                  and ($4::bigint is null or number = $4)
                  and ($5::text is null or customer_id in (select id from customers where lower(email) = lower($5)))
                  and ($6::uuid is null or id < $6)
                  and ($7::uuid is null or id >= $7) and ($8::timestamptz is null or created_at >= $8)
                  and ($9::uuid is null or id < $9) and ($10::timestamptz is null or created_at < $10)
                order by id desc limit $11),
            oldest as (
               select id from orders
                where $1 and ($2::text is null or (status = $2 and stage = $12)) and ($3::uuid is null or customer_id = $3)
                  and ($4::bigint is null or number = $4)
                  and ($5::text is null or customer_id in (select id from customers where lower(email) = lower($5)))
                  and ($6::uuid is null or id > $6)
                  and ($7::uuid is null or id >= $7) and ($8::timestamptz is null or created_at >= $8)
                  and ($9::uuid is null or id < $9) and ($10::timestamptz is null or created_at < $10)
                order by id limit $11)
           select id as "id!" from (select id from newest union all select id from oldest) picked
            order by case when $1 then id end, case when not $1 then id end desc"#,
        oldest_first,
        filter.status as Option<Status>,
        filter.customer_id.map(|id| id.0),
        filter.order_id()?,
        filter.email.as_ref().map(Email::as_str),
        page.after_id(),
        range.low,
        filter.from,
        range.high,
        filter.to,
        limit,
        filter.status.map(Status::stage),
    );
    Ok(ids.fetch_all(CustomPlan(conn)).await?)
}

/// Those of the orders that fit, in their order.
async fn fitting(conn: &mut PgConnection, filter: &OrderFilter, ids: &[Uuid], limit: i64) -> Result<Vec<OrderId>> {
    let payment = filter.payment.map(|status| match status {
        PaymentStatus::Pending => "started",
        PaymentStatus::Charged => "charged",
        PaymentStatus::Declined => "declined",
        PaymentStatus::Refunded => "refunded",
        PaymentStatus::Voided => "voided",
    });
    let by_worker = filter.next_by.map(|who| who == Who::Worker);
    let fitting = sqlx::query_scalar!(
        r#"select o.id as "id!: OrderId"
             from unnest($1::uuid[]) with ordinality looked (id, place) join orders o on o.id = looked.id
            where ($2::text is null or exists (
                      select from order_items i join products p on p.id = i.product_id where i.order_id = o.id and p.sku = $2))
              and ($3::text is null or exists (select from charges c where c.order_id = o.id and c.state = $3))
              and ($4::uuid is null or exists (
                      select from reservations r join reservation_lines l on l.reservation_id = r.id
                       where r.order_id = o.id and l.warehouse_id = $4))
              and ($5::bool is null or (o.status = any($9) and $5 = exists (
                      select from jobs j where j.order_id = o.id and j.kind = $10::jsonb ->> o.status
                                           and j.state in ('ready', 'running'))))
              and ($6::bool is null or $6 = (o.status = any($9) and not exists (
                      select from jobs j where j.order_id = o.id and j.kind = $10::jsonb ->> o.status
                                           and (j.state = 'running'
                                                or (j.state = 'ready' and j.run_at > now() - interval '1 minute')))))
              and ($7::bigint is null or o.total_minor >= $7) and ($8::bigint is null or o.total_minor <= $8)
            order by looked.place limit $11"#,
        ids,
        filter.sku.as_ref().map(Sku::as_str),
        payment,
        filter.warehouse_id.map(|id| id.0),
        by_worker,
        filter.overdue,
        filter.min_total,
        filter.max_total,
        &Status::names(|status| !status.is_final()) as &[&str],
        Json(Status::next_jobs()) as _,
        limit,
    );
    Ok(fitting.fetch_all(CustomPlan(conn)).await?)
}
