//! One search for everything: orders, customers, products, jobs, users. Each kind of thing is found by an index. Writes no
//! table.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::error::Result;
use crate::platform::db::CustomPlan;
use crate::values::OrderNumber;
use crate::values::search::Search;

/// How many of each kind are found. Who has more must type more.
const OF_EACH: i64 = 5;
/// Shorter texts are in everything.
const SHORTEST: usize = 2;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchAll {
    /// The number of an order (in any case, with or without `M-`), an id, the beginning of an e-mail address, a part of a
    /// name or a SKU, a tracking number, or the id of a request
    #[param(value_type = String, max_length = 100, pattern = r"^[^\u0000]*$")]
    pub q: Search,
}

/// The kind of thing that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FoundType {
    Order,
    Customer,
    Product,
    Job,
    User,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "order", "id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01", "title": "M-4XK29QC", "detail": "paid, Alice Archer"
}))]
pub struct Found {
    pub r#type: FoundType,
    pub id: Uuid,
    /// What people call it: a number, a name, a SKU
    pub title: String,
    pub detail: String,
}

/// At most five of each type, those that fit exactly first.
pub async fn find(conn: &mut PgConnection, q: &Search) -> Result<Vec<Found>> {
    let text = q.as_str();
    if text.chars().count() < SHORTEST {
        return Ok(Vec::new());
    }
    let id: Option<Uuid> = text.parse().ok();
    let mut found = orders(conn, text, id).await?;
    found.extend(customers(conn, q, id).await?);
    found.extend(products(conn, q, id).await?);
    found.extend(jobs(conn, text, id).await?);
    found.extend(users(conn, text, id).await?);
    Ok(found)
}

async fn orders(conn: &mut PgConnection, text: &str, id: Option<Uuid>) -> Result<Vec<Found>> {
    let number: Option<i64> = text.parse::<OrderNumber>().ok().map(|number| number.0);
    let rows = sqlx::query!(
        r#"with hit as materialized (
               select id from orders where number = $1
               union select id from orders where id = $2
               union select order_id from shipments where tracking_number in ($3, upper($3)) limit $4)
           select o.id, o.number, o.status, c.name
             from hit join orders o on o.id = hit.id join customers c on c.id = o.customer_id order by o.id desc"#,
        number,
        id,
        text,
        OF_EACH,
    );
    let rows = rows.fetch_all(CustomPlan(conn)).await?;
    let found = rows.into_iter().map(|row| Found {
        r#type: FoundType::Order,
        id: row.id,
        title: OrderNumber(row.number).to_string(),
        detail: format!("{}, {}", row.status, row.name),
    });
    Ok(found.collect())
}

async fn customers(conn: &mut PgConnection, q: &Search, id: Option<Uuid>) -> Result<Vec<Found>> {
    let rows = sqlx::query!(
        r#"with by_id as (select id from customers where id = $1),
                by_email as materialized (
                    select id from customers where lower(email) like $2 order by lower(email) limit $4),
                by_name as materialized (
                    select id from customers where lower(name) like $3 limit $4)
           select c.id, c.name, c.email
             from (select id from by_id union select id from by_email union select id from by_name limit $4) hit
             join customers c on c.id = hit.id order by c.name, c.id"#,
        id,
        q.begins(),
        q.contains(),
        OF_EACH,
    );
    let rows = rows.fetch_all(CustomPlan(conn)).await?;
    let found = rows.into_iter().map(|row| Found {
        r#type: FoundType::Customer,
        id: row.id,
        title: row.name,
        detail: row.email,
    });
    Ok(found.collect())
}

async fn products(conn: &mut PgConnection, q: &Search, id: Option<Uuid>) -> Result<Vec<Found>> {
    let rows = sqlx::query!(
        r#"with hit as materialized (
               select id from products where id = $1
               union all select id from products where sku = $2
               union all (select id from products where search like lower($3) limit $4))
           select id, sku, name from products where id in (select id from hit limit $4) order by sku = $2 desc, sku"#,
        id,
        q.as_str(),
        q.pattern(),
        OF_EACH,
    );
    let rows = rows.fetch_all(CustomPlan(conn)).await?;
    let found =
        rows.into_iter().map(|row| Found { r#type: FoundType::Product, id: row.id, title: row.sku, detail: row.name });
    Ok(found.collect())
}

/// By its id, or as the dead job of a request.
async fn jobs(conn: &mut PgConnection, text: &str, id: Option<Uuid>) -> Result<Vec<Found>> {
    let rows = sqlx::query!(
        r#"select id, kind, state from jobs where id = $1
           union all
           (select id, kind, state from (select * from jobs where state = 'dead' order by id desc limit $4) newest
             where request_id = $2 limit $3)"#,
        id,
        text,
        OF_EACH,
        NEWEST_DEAD,
    );
    let rows = rows.fetch_all(CustomPlan(conn)).await?;
    let found = rows
        .into_iter()
        .filter_map(|row| Some(Found { r#type: FoundType::Job, id: row.id?, title: row.kind?, detail: row.state? }));
    Ok(found.collect())
}

/// The request of a dead job is looked for among so many. An index on all requests would cost every job.
const NEWEST_DEAD: i64 = 10_000;

async fn users(conn: &mut PgConnection, text: &str, id: Option<Uuid>) -> Result<Vec<Found>> {
    let rows = sqlx::query!(
        "select id, name, email, role from users where kind = 'person' and (id = $1 or email_key = lower($2)) order by id limit $3",
        id,
        text,
        OF_EACH,
    );
    let rows = rows.fetch_all(CustomPlan(conn)).await?;
    let found = rows.into_iter().map(|row| Found {
        r#type: FoundType::User,
        id: row.id,
        title: row.name,
        detail: format!("{}, {}", row.role, row.email),
    });
    Ok(found.collect())
}
