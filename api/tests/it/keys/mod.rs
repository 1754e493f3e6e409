//! Service accounts and API keys.

use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::person::{Person, Reply};
use uuid::Uuid;

mod accounts;
mod making;
mod matrix;
mod scopes;
mod using;

/// A new service account. Returns its id.
pub async fn account(admin: &Person<'_>) -> String {
    let made = admin.post("/v1/service-accounts", json!({ "name": "Robot" })).await.done(201);
    made.id().to_owned()
}

/// A new key of a new account.
pub async fn make(admin: &Person<'_>, body: Value) -> Reply {
    let path = format!("/v1/service-accounts/{}/keys", account(admin).await);
    admin.post(&path, body).await.done(201)
}

/// The program that has the key of this answer.
pub fn holder<'a>(app: &'a TestApp, made: &Reply) -> Person<'a> {
    app.anyone().with(made.body["key"].as_str().expect("a new key is shown"))
}

/// A program with a new key with these scopes.
pub async fn program<'a>(app: &'a TestApp, admin: &Person<'_>, scopes: &[&str]) -> Person<'a> {
    let made = make(admin, json!({ "name": "k", "scopes": scopes })).await;
    let id: Uuid = made.body["service_account_id"].as_str().unwrap().parse().unwrap();
    Person { id, ..holder(app, &made) }
}

pub const ALL: [&str; 12] = [
    "orders:read",
    "orders:write",
    "orders:cancel",
    "inventory:read",
    "inventory:write",
    "catalog:write",
    "customers:read",
    "customers:write",
    "events:read",
    "webhooks:manage",
    "ops:read",
    "ops:write",
];
