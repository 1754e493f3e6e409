//! Who of the staff looks after an order that waits for a person, so that two people do not do the same. Alone writes
//! `taken_orders`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::orders::read;
use crate::principal::{By, Principal};
use crate::values::OrderId;

/// Who has taken an order, and when. It ends after eight hours, so that nobody has to ask who has gone home.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "by": { "id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01", "name": "Sam Staff" }, "at": "2026-11-21T09:30:00Z"
}))]
pub struct Taken {
    pub by: By,
    pub at: DateTime<Utc>,
}

/// Puts one's name on an order. Taking it again changes nothing.
pub async fn take(conn: &mut PgConnection, staff: &Principal, id: OrderId) -> Result<Taken> {
    read::require_visible(conn, staff, id).await?;
    let by = staff.by().ok_or(Error::Forbidden { needed: "staff" })?;
    let taken = sqlx::query!(
        "insert into taken_orders (order_id, user_id, user_name) values ($1, $2, $3)
         on conflict (order_id) do update set user_id = excluded.user_id, user_name = excluded.user_name, at = excluded.at
          where excluded.at - taken_orders.at > interval '8 hours'
         returning at",
        id.0,
        by.id,
        by.name,
    )
    .fetch_optional(&mut *conn)
    .await?;
    match taken {
        Some(taken) => {
            actions::record(conn, staff, Action::new("order.taken", "order", id)).await?;
            Ok(Taken { by, at: taken.at })
        }
        None => match of(conn, id).await? {
            Some(taken) if taken.by.id == by.id => Ok(taken),
            Some(taken) => Err(Error::OrderTaken { by: taken.by.name }),
            None => Err(Error::Overloaded),
        },
    }
}

/// Gives an order free again, also one that somebody else has taken: they may be ill.
pub async fn put_back(conn: &mut PgConnection, staff: &Principal, id: OrderId) -> Result<()> {
    read::require_visible(conn, staff, id).await?;
    let freed = sqlx::query!("delete from taken_orders where order_id = $1", id.0).execute(&mut *conn).await?;
    if freed.rows_affected() > 0 {
        actions::record(conn, staff, Action::new("order.put_back", "order", id)).await?;
    }
    Ok(())
}

/// Deletes what has ended.
pub async fn remove_old(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from taken_orders where order_id in (
            select order_id from taken_orders where at < now() - interval '8 hours' limit $1)",
        limit,
    );
    Ok(removed.execute(conn).await?.rows_affected())
}

/// Who has taken this order now.
pub async fn of(conn: &mut PgConnection, id: OrderId) -> Result<Option<Taken>> {
    Ok(of_orders(conn, &[id.0]).await?.pop().map(|(_, taken)| taken))
}

/// Who has taken which of these orders.
pub(super) async fn of_orders(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(OrderId, Taken)>> {
    let rows = sqlx::query!(
        r#"select order_id as "order_id: OrderId", user_id, user_name, at from taken_orders
            where order_id = any($1) and at >= now() - interval '8 hours'"#,
        ids,
    )
    .fetch_all(conn)
    .await?;
    let taken = rows.into_iter().map(|row| {
        let by = By { id: row.user_id, name: row.user_name };
        (row.order_id, Taken { by, at: row.at })
    });
    Ok(taken.collect())
}
