//! Events that belong to no order, written in the transaction of the change: `entity_events`.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::data::{AdjustedStock, LowStock, ProductFacts, WebhookDisabled, WebhookTested};
use crate::error::Result;

/// What happened to a product, to a row of stock or to a webhook endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityEvent {
    ProductCreated(ProductFacts),
    ProductChanged(ProductFacts),
    StockLow(LowStock),
    StockAdjusted(AdjustedStock),
    WebhookTest,
    WebhookDisabled(WebhookDisabled),
}

impl EntityEvent {
    fn columns(&self) -> (&'static str, Value) {
        match self {
            Self::ProductCreated(data) => ("product.created", json!(data)),
            Self::ProductChanged(data) => ("product.changed", json!(data)),
            Self::StockLow(data) => ("stock.low", json!(data)),
            Self::StockAdjusted(data) => ("stock.adjusted", json!(data)),
            Self::WebhookTest => ("webhook.test", json!(WebhookTested {})),
            Self::WebhookDisabled(data) => ("webhook.disabled", json!(data)),
        }
    }
}

/// Writes events, each with the next number of its subject, and returns those numbers in the same order.
///
/// The caller has changed or locked the row of each subject in this transaction, so nobody else takes the same number.
/// This must be a statement of its own: the one that locks the row does not see what was committed while it waited.
///
/// Not in the transaction of a pass of the sequencer, which would not see them.
pub async fn record(conn: &mut PgConnection, events: &[(Uuid, EntityEvent)]) -> Result<Vec<i32>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let subjects: Vec<Uuid> = events.iter().map(|(subject, _)| *subject).collect();
    let (types, data): (Vec<&str>, Vec<Value>) = events.iter().map(|(_, event)| event.columns()).unzip();
    let numbered = sqlx::query!(
        r#"with asked as materialized (
               select * from unnest($1::uuid[], $2::text[], $3::jsonb[]) with ordinality t (subject, type, data, place)),
           numbered as materialized (
               select a.*, row_number() over (partition by subject order by place)
                           + coalesce((select sequence from entity_events e where e.subject = a.subject
                                        order by sequence desc limit 1), 0) as sequence
                 from asked a),
           written as (
               insert into entity_events (subject, sequence, type, data)
               select subject, sequence, type, data from numbered order by place)
           select sequence::int as "sequence!" from numbered order by place"#,
        &subjects,
        &types as &[&str],
        &data,
    )
    .fetch_all(conn)
    .await?;
    Ok(numbered.into_iter().map(|row| row.sequence).collect())
}

/// The id of an event, as readers know it.
pub fn event_id(subject: Uuid, sequence: i32) -> String {
    format!("evt_{subject}_{sequence}")
}
