//! Events that do not move an order, such as a job that staff retried or a note that they wrote: added to its timeline.

use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::event::Event;
use super::read::{self, OrderEvent};
use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::months;
use crate::principal::Principal;
use crate::values::{OrderId, Remark};

/// What staff want to remember about an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "text": "The customer called: leave it with the neighbour." }))]
pub struct NewNote {
    pub text: Remark,
}

/// Adds what staff wrote to an order's timeline, and returns the event.
pub async fn write(conn: &mut PgConnection, staff: &Principal, id: OrderId, new: &NewNote) -> Result<OrderEvent> {
    read::require_visible(conn, staff, id).await?;
    months::require_here(conn, id).await?;
    note(conn, staff, &[(id, Event::Note { text: new.text.clone() })]).await?;
    actions::record(conn, staff, Action::new("order.noted", "order", id)).await?;
    // Our update of the order holds its timeline locked, so the last event is ours.
    read::last_event(conn, id).await?.ok_or_else(|| Error::internal("a note is not in its order's timeline"))
}

/// Notes on an order's timeline that its packing slips were printed, and returns the event.
pub async fn slip_printed(conn: &mut PgConnection, staff: &Principal, id: OrderId) -> Result<OrderEvent> {
    read::require_visible(conn, staff, id).await?;
    months::require_here(conn, id).await?;
    note(conn, staff, &[(id, Event::SlipPrinted)]).await?;
    actions::record(conn, staff, Action::new("order.slip_printed", "order", id)).await?;
    read::last_event(conn, id).await?.ok_or_else(|| Error::internal("a note is not in its order's timeline"))
}

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
