//! What happens around an order without moving it: written down in its timeline.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::values::OrderId;

/// Adds an event to each of these orders' timelines. An order may be named more than once.
pub(crate) async fn note(conn: &mut PgConnection, event: &str, notes: &[(OrderId, serde_json::Value)]) -> Result<()> {
    if notes.is_empty() {
        return Ok(());
    }
    let (ids, data): (Vec<Uuid>, Vec<serde_json::Value>) = notes.iter().map(|(id, data)| (id.0, data.clone())).unzip();
    sqlx::query!(
        "with note as materialized (
             select order_id, data, row_number() over (partition by order_id) as place
               from unnest($1::uuid[], $2::jsonb[]) t (order_id, data)),
         held as materialized (
             select id from orders where id = any($1) order by id for no key update),
         counted as (
             update orders o set event_sequence = o.event_sequence + n.notes
               from held join (select order_id, count(*)::int as notes from note group by 1) n on n.order_id = held.id
              where o.id = held.id
             returning o.id, o.event_sequence - n.notes as before)
         insert into order_events (order_id, sequence, type, data)
         select c.id, c.before + n.place, $3, n.data from note n join counted c on c.id = n.order_id",
        &ids,
        &data,
        event,
    )
    .execute(conn)
    .await?;
    Ok(())
}
