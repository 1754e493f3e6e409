//! The routes of `/v1/auth`, `/v1/me` and `/v1/users`.

mod guessing;
mod invites;
mod login;
mod refresh;
mod register;
mod sessions;
mod staff;
mod tokens;
mod totp;
mod users;

use std::sync::Arc;

use serde_json::{Value, json};
use shared::identity::authenticate::{Identity, IdentitySettings};
use sqlx::AssertSqlSafe;
use testkit::app::{TestApp, settings};
use testkit::person::{Person, Reply};

// Helpers of several files

pub async fn login(app: &TestApp, email: &str, password: &str) -> Reply {
    app.anyone().post("/v1/auth/login", json!({ "email": email, "password": password })).await
}

pub async fn log_in<'a>(app: &'a TestApp, email: &str, password: &str) -> Person<'a> {
    app.anyone().with(access_token(&login(app, email, password).await.done(200)))
}

pub async fn refresh(app: &TestApp, token: &str) -> Reply {
    app.anyone().post("/v1/auth/refresh", json!({ "refresh_token": token })).await
}

pub fn access_token(reply: &Reply) -> &str {
    reply.body["access_token"].as_str().unwrap()
}

pub fn refresh_token(reply: &Reply) -> &str {
    reply.body["refresh_token"].as_str().unwrap()
}

pub fn claims_of(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode(token).unwrap().claims
}

/// Another API process on the same database with other identity settings.
pub async fn beside(app: &TestApp, change: impl FnOnce(&mut IdentitySettings)) -> TestApp {
    let cli = settings(&app.database_url, &[]);
    let state = api::serve::state(&cli.common, cli.serve).unwrap();
    let mut settings = state.settings.identity().unwrap();
    change(&mut settings);
    let identity = Arc::new(Identity::new(settings).unwrap());
    let state = state.with(|parts| parts.identity = identity);
    TestApp::serve(&app.database_url, state).await
}

pub async fn run(app: &TestApp, sql: &'static str) {
    sqlx::query(sql).execute(&app.db).await.unwrap();
}

pub async fn count(app: &TestApp, table: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}"))).fetch_one(&app.db).await.unwrap()
}
