//! The log of deliveries, and sending one again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::endpoints::{self, WebhookState};
use super::outcome::AttemptError;
use super::wake;
use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::feed::catalogue::subject_of;
use crate::feed::read::EventSubject;
use crate::feed::record::{self, EntityEvent, event_id};
use crate::page::{List, Page, Position};
use crate::platform::db::CustomPlan;
use crate::principal::Principal;
use crate::queue::Ring;
use crate::values::WebhookId;

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum DeliveryState {
    Pending,
    /// It waits until its endpoint is enabled
    Held,
    Delivered,
    /// Given up after ten attempts; it can be sent again by hand
    Failed,
}

/// An event on its way to an endpoint.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "event_id": "evt_019a4f70-1b00-7e52-8c11-3d9a6f2b4c01_4", "type": "order.shipped",
    "subject": {"type": "order", "id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01"}, "sequence": 4, "state": "delivered",
    "attempts": 1, "next_attempt_at": null, "delivered_at": "2026-11-21T09:31:08Z", "created_at": "2026-11-21T09:31:07Z"
}))]
pub struct DeliveryView {
    pub event_id: String,
    pub r#type: String,
    pub subject: EventSubject,
    pub sequence: i32,
    pub state: DeliveryState,
    /// How many attempts were made, probes too
    pub attempts: i32,
    /// Null unless it is pending. It also waits for earlier events of its subject
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub delivered_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// A delivery with what is sent, and how each attempt went.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "event_id": "evt_019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05_1", "type": "webhook.test",
    "subject": {"type": "webhook", "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05"}, "sequence": 1, "state": "delivered",
    "attempts": 1, "next_attempt_at": null, "delivered_at": "2026-11-21T09:31:08Z", "created_at": "2026-11-21T09:31:07Z",
    "body": "{\"data\":{},\"id\":\"evt_019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05_1\",\"type\":\"webhook.test\"}",
    "history": [{"attempt": 1, "at": "2026-11-21T09:31:08Z", "status": 200, "ms": 41, "error": null, "response": "ok"}]
}))]
pub struct DeliveryDetail {
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// The text that each attempt sends
    pub body: String,
    /// Oldest first; kept as long as the delivery
    pub history: Vec<WebhookAttempt>,
}

/// An attempt to deliver.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WebhookAttempt {
    pub attempt: i32,
    pub at: DateTime<Utc>,
    /// Null where no answer came
    pub status: Option<i32>,
    /// How long it took
    pub ms: i32,
    /// Null for a success
    pub error: Option<AttemptError>,
    /// The first 1,024 bytes of the answer, for persons
    pub response: Option<String>,
}

/// A filter for the list of deliveries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveryFilter {
    pub state: Option<DeliveryState>,
    /// Exactly this type of event, such as `order.paid`
    #[param(pattern = r"^[^\u0000]*$")]
    pub r#type: Option<String>,
    /// About the order, product, row of stock or endpoint with this id
    pub subject: Option<Uuid>,
}

/// The event of a delivery, as its id names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRef {
    pub subject: Uuid,
    pub sequence: i32,
}

impl EventRef {
    /// None: no event has such an id.
    pub fn parse(text: &str) -> Option<Self> {
        let (subject, sequence) = text.strip_prefix("evt_")?.split_once('_')?;
        let it = Self { subject: subject.parse().ok()?, sequence: sequence.parse().ok()? };
        (event_id(it.subject, it.sequence) == text).then_some(it)
    }
}

struct DeliveryColumns {
    position: i64,
    subject: Uuid,
    sequence: i32,
    kind: String,
    state: DeliveryState,
    attempts: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    delivered_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl DeliveryColumns {
    fn view(self) -> DeliveryView {
        DeliveryView {
            event_id: event_id(self.subject, self.sequence),
            subject: EventSubject { r#type: subject_of(&self.kind).to_owned(), id: self.subject },
            r#type: self.kind,
            sequence: self.sequence,
            state: self.state,
            attempts: self.attempts,
            next_attempt_at: self.next_attempt_at,
            delivered_at: self.delivered_at,
            created_at: self.created_at,
        }
    }
}

/// Newest first.
pub async fn list(
    conn: &mut PgConnection,
    id: WebhookId,
    filter: &DeliveryFilter,
    page: &Page,
) -> Result<List<DeliveryView>> {
    let enabled = endpoints::state(conn, id).await? == WebhookState::Enabled;
    let stored = match filter.state {
        None => None,
        Some(DeliveryState::Pending | DeliveryState::Held) => Some("pending"),
        Some(DeliveryState::Delivered) => Some("delivered"),
        Some(DeliveryState::Failed) => Some("failed"),
    };
    // All that waits is pending at an enabled endpoint, and held at any other.
    let none =
        matches!((filter.state, enabled), (Some(DeliveryState::Pending), false) | (Some(DeliveryState::Held), true));
    let rows = sqlx::query_as!(
        DeliveryColumns,
        r#"select d.position, subject, sequence, type as kind,
                  case when d.state = 'pending' and not $7 then 'held' else d.state end as "state!: DeliveryState",
                  attempts, case when d.state = 'pending' and $7 then greatest(next_attempt_at, $8) end as next_attempt_at,
                  delivered_at, d.created_at
             from webhook_deliveries d
            where endpoint_id = $1 and ($2::text is null or state = $2) and ($3::text is null or type = $3)
              and ($4::uuid is null or subject = $4) and ($5::bigint is null or d.position < $5) and not $9
            order by d.position desc limit $6"#,
        id.0,
        stored,
        filter.r#type,
        filter.subject,
        page.after.map(|after| after.rank),
        page.fetch(),
        enabled,
        probe_at(conn, id).await?,
        none,
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    let list = page.list(rows, |row| Position { rank: row.position, id: row.subject });
    Ok(list.map(DeliveryColumns::view))
}

/// While an endpoint is failing, nothing is sent before its next probe.
async fn probe_at(conn: &mut PgConnection, id: WebhookId) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!("select probe_at from webhook_endpoints where id = $1", id.0)
        .fetch_optional(conn)
        .await?
        .flatten())
}

pub async fn get(conn: &mut PgConnection, id: WebhookId, event: EventRef) -> Result<DeliveryDetail> {
    endpoints::state(conn, id).await?;
    let row = sqlx::query!(
        r#"select d.position, d.subject, d.sequence, d.type as kind,
                  case when d.state = 'pending' and e.state <> 'enabled' then 'held' else d.state end as "state!: DeliveryState",
                  d.attempts, case when d.state = 'pending' and e.state = 'enabled'
                                   then greatest(d.next_attempt_at, e.probe_at) end as next_attempt_at,
                  d.delivered_at, d.created_at, b.body
             from webhook_deliveries d join webhook_bodies b using (position) join webhook_endpoints e on e.id = d.endpoint_id
            where d.endpoint_id = $1 and d.subject = $2 and d.sequence = $3"#,
        id.0,
        event.subject,
        event.sequence,
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or(Error::NotFound(Resource::Delivery))?;
    let history = sqlx::query_as!(
        WebhookAttempt,
        r#"select attempt, at, status, ms, error as "error: AttemptError", response from webhook_attempts
            where endpoint_id = $1 and position = $2 order by attempt"#,
        id.0,
        row.position,
    )
    .fetch_all(conn)
    .await?;
    let delivery = DeliveryColumns {
        position: row.position,
        subject: row.subject,
        sequence: row.sequence,
        kind: row.kind,
        state: row.state,
        attempts: row.attempts,
        next_attempt_at: row.next_attempt_at,
        delivered_at: row.delivered_at,
        created_at: row.created_at,
    };
    Ok(DeliveryDetail { delivery: delivery.view(), body: row.body, history })
}

/// Sends a delivery again, with ten new attempts. It goes before later events of its subject that still wait.
pub async fn redeliver(
    conn: &mut PgConnection,
    principal: &Principal,
    id: WebhookId,
    event: EventRef,
) -> Result<(DeliveryView, Vec<Ring>)> {
    endpoints::hold(conn, id).await?;
    let found = sqlx::query!(
        "select position, shard from webhook_deliveries where endpoint_id = $1 and subject = $2 and sequence = $3",
        id.0,
        event.subject,
        event.sequence,
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or(Error::NotFound(Resource::Delivery))?;
    let rings = wake::wake(conn, &[(id, found.shard)], None).await?;
    if again(conn, id, &[found.position], false).await? == 0 {
        return Err(Error::DeliveryPending);
    }
    let action = Action::new("webhook.redelivered", "webhook", id)
        .data(serde_json::json!({ "event_id": event_id(event.subject, event.sequence) }));
    actions::record(conn, principal, action).await?;
    Ok((get(conn, id, event).await?.delivery, rings))
}

/// Makes ended deliveries pending again, and returns how many. The caller has locked their pumps.
pub(super) async fn again(conn: &mut PgConnection, id: WebhookId, positions: &[i64], only_failed: bool) -> Result<u64> {
    let revived = sqlx::query!(
        "update webhook_deliveries
            set state = 'pending', used = 0, replayed = true, next_attempt_at = now(), delivered_at = null, ended_at = null
          where endpoint_id = $1 and position = any($2) and (state = 'failed' or state = 'delivered' and not $3)",
        id.0,
        positions,
        only_failed,
    )
    .execute(conn)
    .await?;
    Ok(revived.rows_affected())
}

/// Sends a test to this endpoint. Returns the id of the event.
pub async fn test(conn: &mut PgConnection, principal: &Principal, id: WebhookId) -> Result<String> {
    let state = sqlx::query_scalar!(
        r#"select state as "state: WebhookState" from webhook_endpoints where id = $1 and deleted_at is null for no key update"#,
        id.0,
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or(Error::NotFound(Resource::Webhook))?;
    if state != WebhookState::Enabled {
        return Err(Error::WebhookNotEnabled);
    }
    let sequences = record::record(conn, &[(id.0, EntityEvent::WebhookTest)]).await?;
    actions::record(conn, principal, Action::new("webhook.tested", "webhook", id)).await?;
    Ok(event_id(id.0, sequences.first().copied().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_event_names_its_subject_and_its_number() {
        let subject: Uuid = "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01".parse().unwrap();
        for (text, event) in [
            ("evt_019a4f70-1b00-7e52-8c11-3d9a6f2b4c01_4", Some(EventRef { subject, sequence: 4 })),
            ("evt_019A4F70-1b00-7e52-8c11-3d9a6f2b4c01_4", None),
            ("evt_019a4f70-1b00-7e52-8c11-3d9a6f2b4c01_04", None),
            ("evt_019a4f70-1b00-7e52-8c11-3d9a6f2b4c01_", None),
            ("019a4f70-1b00-7e52-8c11-3d9a6f2b4c01_4", None),
            ("evt__1", None),
        ] {
            assert_eq!(EventRef::parse(text), event, "{text}");
        }
    }
}
