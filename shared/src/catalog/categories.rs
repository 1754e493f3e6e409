//! Categories of products, in a tree. Alone writes `categories`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::page::{List, Page};
use crate::platform::db::{self, CustomPlan};
use crate::principal::Principal;
use crate::values::{CategoryId, Name, given};

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-6f00-7a51-9b1e-0c7d2f4a8e11", "name": "Mugs & Cups", "parent_id": null, "version": 1,
    "created_at": "2026-11-21T07:00:00Z", "updated_at": "2026-11-21T07:00:00Z"
}))]
pub struct CategoryView {
    pub id: CategoryId,
    pub name: Name,
    /// The category above this one
    pub parent_id: Option<CategoryId>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Mugs & Cups", "parent_id": "019a4f6e-6f00-7a51-9b1e-0c7d2f4a8e11"}))]
pub struct NewCategory {
    pub name: Name,
    pub parent_id: Option<CategoryId>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Cups & Mugs", "parent_id": null}))]
pub struct ChangeCategory {
    pub name: Option<Name>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<CategoryId>)]
    pub parent_id: Option<Option<CategoryId>>,
}

pub async fn list(conn: &mut PgConnection, page: &Page) -> Result<List<CategoryView>> {
    let categories = sqlx::query_as!(
        CategoryView,
        "select id, name as \"name: Name\", parent_id as \"parent_id: CategoryId\", version, created_at, updated_at
           from categories where ($1::uuid is null or id > $1) order by id limit $2",
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(categories, |category| category.id.0.into()))
}

pub async fn get(conn: &mut PgConnection, id: CategoryId) -> Result<CategoryView> {
    sqlx::query_as!(
        CategoryView,
        "select id, name as \"name: Name\", parent_id as \"parent_id: CategoryId\", version, created_at, updated_at
           from categories where id = $1",
        id.0,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::Category))
}

pub async fn create(conn: &mut PgConnection, principal: &Principal, new: &NewCategory) -> Result<CategoryView> {
    let id = CategoryId::new();
    if add(conn, &[(id, new)]).await? == 0 {
        return Err(Error::CategoryNameTaken);
    }
    actions::record(conn, principal, Action::new("category.created", "category", id)).await?;
    get(conn, id).await
}

/// Adds categories in one statement, which may contain parents and their children. Skips those whose name exists, and returns
/// how many are new.
pub async fn add(conn: &mut PgConnection, new: &[(CategoryId, &NewCategory)]) -> Result<u64> {
    let added = sqlx::query!(
        "insert into categories (id, name, parent_id) select * from unnest($1::uuid[], $2::text[], $3::uuid[])
         on conflict (name) do nothing",
        new.iter().map(|(id, _)| *id).collect::<Vec<_>>() as Vec<CategoryId>,
        new.iter().map(|(_, new)| new.name.as_str()).collect::<Vec<_>>() as Vec<&str>,
        new.iter().map(|(_, new)| new.parent_id).collect::<Vec<_>>() as Vec<Option<CategoryId>>,
    )
    .execute(conn)
    .await
    .map_err(refused_category)?;
    Ok(added.rows_affected())
}

/// Changes the given fields. With `seen`, only if the category still has that version. It refuses to make a circle.
pub async fn change(
    conn: &mut PgConnection,
    principal: &Principal,
    id: CategoryId,
    seen: Option<i32>,
    change: &ChangeCategory,
) -> Result<CategoryView> {
    if let Some(Some(parent)) = change.parent_id {
        lock_tree(conn).await?;
        if is_above(conn, id, parent).await? {
            let message = "the parent is this category itself, or a category below it";
            return Err(Error::field("parent_id", "category_cycle", message));
        }
    }
    let changed = sqlx::query_scalar!(
        "update categories c
            set name = coalesce($3, c.name),
                parent_id = case when $4 then $5 else c.parent_id end,
                version = c.version + 1,
                updated_at = statement_timestamp()
           from (select * from categories where id = $1 for no key update) old
          where c.id = old.id and ($2::int is null or c.version = $2)
         returning array_remove(array[
                case when c.name <> old.name then 'name' end,
                case when c.parent_id is distinct from old.parent_id then 'parent_id' end], null)
                as \"changed!: Vec<String>\"",
        id.0,
        seen,
        change.name.as_ref().map(Name::as_str),
        change.parent_id.is_some(),
        change.parent_id.flatten().map(|id| id.0),
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(refused_category)?;
    let category = get(conn, id).await?;
    let changed = changed.ok_or(Error::VersionMismatch)?;
    if !changed.is_empty() {
        actions::record(conn, principal, Action::changed("category.changed", "category", id, &changed)).await?;
    }
    Ok(category)
}

/// Two moves at the same time could make a circle although each alone does not, so only one runs at a time.
async fn lock_tree(conn: &mut PgConnection) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('categories', 0))").execute(conn).await?;
    Ok(())
}

/// Is `id` the same category as `other`, or above it?
async fn is_above(conn: &mut PgConnection, id: CategoryId, other: CategoryId) -> Result<bool> {
    let above = sqlx::query_scalar!(
        "with recursive above as (
            select id, parent_id from categories where id = $2
            union
            select c.id, c.parent_id from categories c join above a on c.id = a.parent_id
         )
         select exists (select from above where id = $1) as \"above!\"",
        id.0,
        other.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(above)
}

/// Deletes a category that has no products and no categories below it.
pub async fn delete(conn: &mut PgConnection, principal: &Principal, id: CategoryId, seen: Option<i32>) -> Result<()> {
    let deleted =
        sqlx::query!("delete from categories where id = $1 and ($2::int is null or version = $2)", id.0, seen)
            .execute(&mut *conn)
            .await
            .map_err(|error| match db::broken_constraint(&error) {
                Some(_) => Error::CategoryInUse,
                None => error.into(),
            })?;
    if deleted.rows_affected() == 0 {
        get(conn, id).await?;
        return Err(Error::VersionMismatch);
    }
    actions::record(conn, principal, Action::new("category.deleted", "category", id)).await
}

fn refused_category(error: sqlx::Error) -> Error {
    match db::broken_constraint(&error) {
        Some("categories_name_key") => Error::CategoryNameTaken,
        Some("categories_parent_id_fkey") => super::unknown_category("parent_id"),
        _ => error.into(),
    }
}
