//! What the events of an order say in the feed, made from its timeline. The timeline has more: texts, sourcing, names.
//! Everything here is told by rows that never change, so an event reads the same each time. Writes no table.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::data::{
    EventBy, EventShipment, OrderCancelled, OrderCancelling, OrderFacts, OrderJob, OrderMoved, OrderNoted, OrderPaid,
    OrderPlaced, OrderShipped, PaymentOutcome, PlacedItem,
};
use crate::error::Result;
use crate::months;
use crate::values::{CustomerId, Money, OrderNumber, ProductId};

/// The events of a timeline that move the order, each with the status that it leads to.
const STATUS_AFTER: [(&str, &str); 7] = [
    ("placed", "pending"),
    ("processing", "processing"),
    ("paid", "paid"),
    ("shipped", "shipped"),
    ("delivered", "delivered"),
    ("cancelling", "cancelling"),
    ("cancelled", "cancelled"),
];

/// An event of a timeline, with what it needs of its order.
struct TimelineRow {
    order_id: Uuid,
    sequence: i32,
    name: String,
    data: Value,
    number: i64,
    customer_id: CustomerId,
    total_minor: i64,
    currency: String,
    /// The last event up to this one that moved the order.
    moved: Option<String>,
    by_customer: bool,
}

/// What each of these events says.
pub(super) async fn data(conn: &mut PgConnection, events: &[(Uuid, i32)]) -> Result<HashMap<(Uuid, i32), Value>> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let timeline = read(conn, events).await?;
    let placed: Vec<Uuid> = timeline.iter().filter(|row| row.name == "placed").map(|row| row.order_id).collect();
    let mut items = items(conn, &placed).await?;
    let said = |row: TimelineRow| {
        let items = items.remove(&row.order_id).unwrap_or_default();
        ((row.order_id, row.sequence), say(row, items))
    };
    Ok(timeline.into_iter().map(said).collect())
}

async fn read(conn: &mut PgConnection, events: &[(Uuid, i32)]) -> Result<Vec<TimelineRow>> {
    let orders: Vec<Uuid> = events.iter().map(|(order_id, _)| *order_id).collect();
    let (first, last) = months::reach(&orders);
    let moving: Vec<&str> = STATUS_AFTER.iter().map(|(name, _)| *name).collect();
    Ok(sqlx::query_as!(
        TimelineRow,
        r#"select e.order_id, e.sequence, e.type as name, e.data, o.number,
                  o.customer_id as "customer_id: CustomerId", o.total_minor, o.currency,
                  case when e.type = any($3) then e.type
                       else (select m.type from order_events m
                              where m.order_id = e.order_id and m.sequence < e.sequence
                                and m.order_id >= case when now() is not null then $4::uuid end
                                and m.order_id <= case when now() is not null then $5::uuid end
                                and m.type = any($3)
                              order by m.sequence desc limit 1) end as moved,
                  coalesce(u.role = 'customer', false) as "by_customer!"
             from unnest((select $1::uuid[]), (select $2::int[])) asked (subject, sequence)
             join order_events e on e.order_id = asked.subject and e.sequence = asked.sequence
                              and e.order_id >= case when now() is not null then $4::uuid end
                              and e.order_id <= case when now() is not null then $5::uuid end
             join orders o on o.id = e.order_id
             left join users u on u.id = (e.data -> 'by' ->> 'id')::uuid"#,
        &orders,
        &events.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(),
        &moving as &[&str],
        first,
        last,
    )
    .fetch_all(conn)
    .await?)
}

async fn items(conn: &mut PgConnection, orders: &[Uuid]) -> Result<HashMap<Uuid, Vec<PlacedItem>>> {
    if orders.is_empty() {
        return Ok(HashMap::new());
    }
    let (first, last) = months::reach(orders);
    let rows = sqlx::query!(
        r#"select i.order_id, i.product_id as "product_id: ProductId", i.sku, i.quantity, i.unit_price_minor, o.currency
             from order_items i join orders o on o.id = i.order_id
            where i.order_id = any((select $1::uuid[])::uuid[])
              and i.order_id >= case when now() is not null then $2::uuid end
              and i.order_id <= case when now() is not null then $3::uuid end
            order by i.order_id, i.line"#,
        orders,
        first,
        last,
    )
    .fetch_all(conn)
    .await?;
    let mut items: HashMap<Uuid, Vec<PlacedItem>> = HashMap::new();
    for row in rows {
        items.entry(row.order_id).or_default().push(PlacedItem {
            product_id: row.product_id,
            sku: row.sku,
            quantity: row.quantity,
            unit_price: Money::stored(row.unit_price_minor, &row.currency),
        });
    }
    Ok(items)
}

fn say(row: TimelineRow, items: Vec<PlacedItem>) -> Value {
    let total = Money::stored(row.total_minor, &row.currency);
    let data = &row.data;
    let order = facts(&row);
    let by_hand = data["by_hand"].as_bool().unwrap_or(false);
    let reason = data["reason"].as_str().map(ToOwned::to_owned);
    match row.name.as_str() {
        "placed" => json!(OrderPlaced { order, total, items }),
        "processing" | "delivered" => json!(OrderMoved { order, by_hand }),
        "paid" => json!(OrderPaid { order, by_hand, amount: total }),
        "shipped" => json!(OrderShipped { order, by_hand, shipments: shipments(&data["shipments"]) }),
        "cancelling" => json!(OrderCancelling { order, reason }),
        "cancelled" => json!(OrderCancelled { order, reason, payment: payment(data) }),
        "job_retried" | "job_discarded" => json!(OrderJob {
            order,
            job_id: serde_json::from_value(data["job_id"].clone()).ok(),
            kind: data["kind"].as_str().unwrap_or_default().to_owned(),
        }),
        _ => json!(OrderNoted { order }),
    }
}

fn facts(row: &TimelineRow) -> OrderFacts {
    let moved = row.moved.as_deref().unwrap_or("placed");
    let status = STATUS_AFTER.iter().find(|(name, _)| *name == moved).map_or(moved, |(_, status)| *status);
    OrderFacts {
        number: OrderNumber(row.number).to_string(),
        customer_id: row.customer_id,
        status: status.to_owned(),
        by: by(&row.data["by"], row.by_customer),
    }
}

/// The name of a customer is left out.
fn by(stored: &Value, is_customer: bool) -> Option<EventBy> {
    let id = stored["id"].as_str()?.parse().ok()?;
    let name = stored["name"].as_str().filter(|_| !is_customer).map(ToOwned::to_owned);
    Some(EventBy { id, name })
}

fn shipments(stored: &Value) -> Vec<EventShipment> {
    serde_json::from_value(stored.clone()).unwrap_or_default()
}

/// Some events say it only by their reason. An order that expired says nothing: nobody was asked for money.
fn payment(data: &Value) -> PaymentOutcome {
    serde_json::from_value(data["payment"].clone()).unwrap_or_else(|_| match data["reason"].as_str() {
        Some("payment_declined") => PaymentOutcome::Declined,
        Some("payment_voided") => PaymentOutcome::Voided,
        _ => PaymentOutcome::None,
    })
}
