//! Lists of the console as somebody likes to see them: named links of their own. Alone writes `saved_views`.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{Error, Resource, Result};
use crate::invalid::Invalid;
use crate::principal::Principal;
use crate::values::Name;

/// More than anybody finds again.
const MAX_VIEWS: i64 = 50;

/// A page of the console with its filters, under a name.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Waits for me", "path": "/console/orders?next_by=staff&oldest=on" }))]
pub struct NewView {
    pub name: Name,
    /// A path in the console, with its query
    pub path: ViewPath,
}

/// An address in the console. Nothing else is kept, so that a view never leads away from Millrace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, max_length = 2000, pattern = r"^/console(/[\x21-\x7e]*)?(\?[\x21-\x7e]*)?$")]
pub struct ViewPath(String);

impl TryFrom<String> for ViewPath {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let path = text.split('?').next().unwrap_or_default();
        let in_console = path == "/console" || path.starts_with("/console/");
        if in_console && text.len() <= 2000 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(Invalid::new("invalid_path", "a path begins with /console, and has at most 2000 characters"))
        }
    }
}

impl FromStr for ViewPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.to_owned().try_into()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c31", "name": "Waits for me", "path": "/console/orders?next_by=staff&oldest=on",
    "created_at": "2026-11-27T09:30:00Z"
}))]
pub struct SavedView {
    pub id: Uuid,
    pub name: String,
    pub path: String,
    pub created_at: DateTime<Utc>,
}

/// Keeps a view under its name. One with the same name is replaced.
pub async fn save(conn: &mut PgConnection, staff: &Principal, new: &NewView) -> Result<SavedView> {
    let user_id = staff.require_user_id()?;
    let saved = sqlx::query_as!(
        SavedView,
        "insert into saved_views (id, user_id, name, path)
         select $1, $2, $3, $4
          where (select count(*) from saved_views where user_id = $2 and name <> $3) < $5
         on conflict (user_id, name) do update set path = excluded.path
         returning id, name, path, created_at",
        Uuid::now_v7(),
        user_id.0,
        new.name.as_str(),
        new.path.0,
        MAX_VIEWS,
    );
    saved
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| Error::field("name", "too_many_views", format!("{MAX_VIEWS} views are kept; delete one first")))
}

/// One's own views, by name.
pub async fn list(conn: &mut PgConnection, staff: &Principal) -> Result<Vec<SavedView>> {
    let views = sqlx::query_as!(
        SavedView,
        "select id, name, path, created_at from saved_views where user_id = $1 order by name limit $2",
        staff.require_user_id()?.0,
        MAX_VIEWS,
    );
    Ok(views.fetch_all(conn).await?)
}

pub async fn delete(conn: &mut PgConnection, staff: &Principal, id: Uuid) -> Result<()> {
    let user_id = staff.require_user_id()?;
    let deleted = sqlx::query!("delete from saved_views where id = $1 and user_id = $2", id, user_id.0);
    if deleted.execute(conn).await?.rows_affected() == 0 {
        return Err(Error::NotFound(Resource::View));
    }
    Ok(())
}
