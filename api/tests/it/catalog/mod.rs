//! The routes of the catalog.

mod categories;
mod products;

use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::person::{Person, Reply};

pub async fn add(staff: &Person<'_>, sku: &str, name: &str, price: i64) -> Reply {
    staff.post("/v1/products", json!({ "sku": sku, "name": name, "price": usd(price) })).await.done(201)
}

pub async fn count(db: &PgPool, table: &str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

pub fn usd(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}
