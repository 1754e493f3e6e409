//! Events that do not move an order, such as a job that staff retried: added to its timeline.

use serde_json::Value;
use sqlx::PgConnection;

use super::event::Event;
use crate::error::Result;
use crate::principal::Principal;
use crate::values::OrderId;

/// Adds an event to each of these orders' timelines. An order may be named more than once.
pub(crate) async fn note(conn: &mut PgConnection, by: &Principal, notes: &[(OrderId, Event)]) -> Result<()> {
    if notes.is_empty() {
        return Ok(());
    }
    let by = by.by();
    let ids: Vec<OrderId> = notes.iter().map(|(id, _)| *id).collect();
    let (types, data): (Vec<String>, Vec<Value>) = notes.iter().map(|(_, event)| event.columns(by.as_ref())).unzip();
    sqlx::query!(
        "with note as materialized (
             select order_id, type, data, row_number() over (partition by order_id) as place
               from unnest($1::uuid[], $2::text[], $3::jsonb[]) t (order_id, type, data)),
         locked as materialized (
             select id from orders where id = any($1) order by id for no key update),
         counted as (
             update orders o set event_sequence = o.event_sequence + n.notes
               from locked join (select order_id, count(*)::int as notes from note group by 1) n on n.order_id = locked.id
              where o.id = locked.id
             returning o.id, o.event_sequence - n.notes as before)
         insert into order_events (order_id, sequence, type, data)
         select c.id, c.before + n.place, n.type, n.data from note n join counted c on c.id = n.order_id",
        &ids as &[OrderId],
        &types,
        &data,
    )
    .execute(conn)
    .await?;
    Ok(())
}
