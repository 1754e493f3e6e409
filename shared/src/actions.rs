//! The record of everything that people do by hand: who, what, to what, why, when, from where. Alone writes `actions`.
//!
//! A row is written in the transaction of what was done, so neither exists without the other. Rows are never changed or
//! deleted; a trigger refuses both.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::error::Result;
use crate::page::{IdRange, List, Page};
use crate::platform::db::CustomPlan;
use crate::principal::{By, Principal, Source};

/// What was done, and to what. The actor and the source of the request come from the principal.
#[derive(Debug)]
pub struct Action<'a> {
    /// `thing.done`, such as `queue.paused`. Names never change: people filter by them.
    pub name: &'static str,
    /// The kind of thing it was done to, such as `order`.
    pub subject_type: &'static str,
    pub subject_id: String,
    pub reason: Option<&'a str>,
    pub data: Value,
}

impl<'a> Action<'a> {
    pub fn new(name: &'static str, subject_type: &'static str, subject_id: impl ToString) -> Self {
        let data = Value::Object(serde_json::Map::default());
        Self { name, subject_type, subject_id: subject_id.to_string(), reason: None, data }
    }

    /// A thing of which these fields were changed.
    pub fn changed(name: &'static str, subject_type: &'static str, id: impl ToString, fields: &[String]) -> Self {
        Self::new(name, subject_type, id).data(json!({ "changed": fields }))
    }

    #[must_use]
    pub fn reason(self, reason: Option<&'a str>) -> Self {
        Self { reason, ..self }
    }

    /// Further details, as a JSON object. Never a secret, never an e-mail address.
    #[must_use]
    pub fn data(self, data: Value) -> Self {
        Self { data, ..self }
    }
}

/// Records what a principal did. Call it in the transaction that does it.
pub async fn record(conn: &mut PgConnection, principal: &Principal, action: Action<'_>) -> Result<()> {
    record_by(conn, principal.by().as_ref(), &principal.source, action).await
}

/// Records what somebody did who is not signed in (yet), such as signing in.
pub async fn record_by(conn: &mut PgConnection, by: Option<&By>, source: &Source, action: Action<'_>) -> Result<()> {
    sqlx::query!(
        "insert into actions (actor_id, actor_name, action, subject_type, subject_id, reason, data, request_id, address)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::inet)",
        by.map(|by| by.id),
        by.map(|by| by.name.as_str()),
        action.name,
        action.subject_type,
        action.subject_id,
        action.reason,
        action.data,
        source.request_id,
        source.address.map(|address| address.to_string()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Something that a person did by hand.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c09", "at": "2026-11-21T09:30:00Z",
    "by": { "id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01", "name": "Sam Staff" },
    "action": "queue.paused", "subject_type": "queue", "subject_id": "low", "reason": null, "data": {},
    "request_id": "0f8c1e9a", "address": "203.0.113.7"
}))]
pub struct ActionView {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    /// Null for Millrace itself (such as a user made on the command line), and where nobody is signed in (a failed sign-in)
    pub by: Option<By>,
    #[schema(example = "queue.paused")]
    pub action: String,
    #[schema(example = "queue")]
    pub subject_type: String,
    pub subject_id: String,
    pub reason: Option<String>,
    #[schema(value_type = Object)]
    pub data: Value,
    /// The request that did it; its log lines and its jobs have the same id
    pub request_id: Option<String>,
    pub address: Option<String>,
}

/// A filter for the list of actions.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActionFilter {
    /// Exactly this action, such as `queue.paused`
    #[param(pattern = r"^[^\u0000]*$")]
    pub action: Option<String>,
    /// Done by this person
    pub actor_id: Option<Uuid>,
    /// Done to the thing with this id or name
    #[param(pattern = r"^[^\u0000]*$")]
    pub subject_id: Option<String>,
    /// Done at this time or later
    pub from: Option<DateTime<Utc>>,
    /// Done before this time
    pub to: Option<DateTime<Utc>>,
}

/// Newest first.
pub async fn list(conn: &mut PgConnection, filter: &ActionFilter, page: &Page) -> Result<List<ActionView>> {
    let range = IdRange::between(filter.from, filter.to);
    let rows = sqlx::query!(
        "select id, at, actor_id, actor_name, action, subject_type, subject_id, reason, data, request_id,
                host(address) as address
           from actions
          where ($1::text is null or action = $1)
            and ($2::uuid is null or actor_id = $2)
            and ($3::text is null or subject_id = $3)
            and ($4::uuid is null or id < $4)
            and ($5::uuid is null or id >= $5) and ($6::timestamptz is null or at >= $6)
            and ($7::uuid is null or id < $7) and ($8::timestamptz is null or at < $8)
          order by id desc limit $9",
        filter.action,
        filter.actor_id,
        filter.subject_id,
        page.after_id(),
        range.low,
        filter.from,
        range.high,
        filter.to,
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    let actions = rows
        .into_iter()
        .map(|row| ActionView {
            id: row.id,
            at: row.at,
            by: row.actor_id.zip(row.actor_name).map(|(id, name)| By { id, name }),
            action: row.action,
            subject_type: row.subject_type,
            subject_id: row.subject_id,
            reason: row.reason,
            data: row.data,
            request_id: row.request_id,
            address: row.address,
        })
        .collect();
    Ok(page.list(actions, |action| action.id.into()))
}
