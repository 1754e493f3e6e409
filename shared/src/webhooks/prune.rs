//! Deletes what is too old, in steps: deliveries that have ended, their attempts, bodies that no delivery has, and endpoints
//! that were deleted.

use std::time::Duration;

use sqlx::PgConnection;

use crate::error::Result;

/// The log of what arrived, with its attempts. Longer than a long weekend and a look at it.
const DELIVERED_KEPT: Duration = Duration::from_hours(14 * 24);
/// What failed can be replayed for as long as the feed keeps events by default.
const FAILED_KEPT: Duration = Duration::from_hours(90 * 24);
/// Bodies are younger than their deliveries only within one transaction.
const BODIES_KEPT: Duration = Duration::from_hours(24);

/// Deletes up to `limit` deliveries with their attempts, and returns how many it deleted.
pub async fn remove_ended(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from webhook_deliveries where (endpoint_id, position) in (
             select endpoint_id, position from webhook_deliveries
              where state <> 'pending' and ended_at < now() - $2::interval
                and (state = 'delivered' or ended_at < now() - $3::interval)
              order by ended_at limit $1
                for update skip locked)",
        limit,
        DELIVERED_KEPT as _,
        FAILED_KEPT as _,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}

/// Deletes the rows of deleted endpoints, and the endpoints when nothing is left of them.
pub async fn remove_deleted(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from webhook_deliveries where (endpoint_id, position) in (
             select d.endpoint_id, d.position
               from webhook_endpoints e join webhook_deliveries d on d.endpoint_id = e.id
              where e.deleted_at is not null limit $1
                for update of d skip locked)",
        limit,
    )
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if removed == 0 {
        sqlx::query!(
            "delete from webhook_endpoints e where deleted_at < now() - interval '1 minute'
                and not exists (select from webhook_deliveries d where d.endpoint_id = e.id)"
        )
        .execute(conn)
        .await?;
    }
    Ok(removed)
}

/// Deletes up to `limit` bodies that no delivery has.
pub async fn remove_bodies(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from webhook_bodies b where position in (
             select position from webhook_bodies o
              where created_at < now() - $2::interval
                and not exists (select from webhook_deliveries d where d.position = o.position)
              order by created_at limit $1)
            and not exists (select from webhook_deliveries d where d.position = b.position)",
        limit,
        BODIES_KEPT as _,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}
