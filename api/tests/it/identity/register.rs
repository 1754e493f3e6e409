//! `/v1/auth/register`.

use argon2::{Argon2, PasswordVerifier};
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};
use uuid::Uuid;

use super::{count, log_in};

// Registering

#[tokio::test]
async fn registering_makes_an_active_customer_with_these_values() {
    let app = TestApp::new().await;
    let asked = json!({ "email": "Alice@Example.com", "password": PASSWORD, "name": " Alice " });
    let user = app.anyone().post("/v1/auth/register", asked).await.done(201);
    assert_eq!(user.body["email"], "Alice@Example.com");
    assert_eq!(user.body["name"], "Alice");
    assert_eq!(user.body["role"], "customer");
    assert_eq!(user.body["active"], true);
    assert!(user.body["created_at"].as_str().unwrap().ends_with('Z'));
    let mut fields: Vec<_> = user.body.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["active", "created_at", "email", "id", "name", "role"], "and no hash");

    let (id, email, name, role, active): (Uuid, String, String, String, bool) =
        sqlx::query_as("select id, email, name, role, active from users").fetch_one(&app.db).await.unwrap();
    assert_eq!(id.to_string(), user.id());
    assert_eq!((&*email, &*name, &*role, active), ("Alice@Example.com", "Alice", "customer", true));

    let (owner, email, name): (Uuid, String, String) =
        sqlx::query_as("select user_id, email, name from customers").fetch_one(&app.db).await.unwrap();
    assert_eq!((owner, &*email, &*name), (id, "Alice@Example.com", "Alice"), "the customer that they order as");

    let me = log_in(&app, "alice@EXAMPLE.com", PASSWORD).await.get("/v1/me").await.done(200);
    let mut expected = user.body;
    expected["kind"] = json!("person");
    assert_eq!(me.body, expected);
    assert_eq!(me.header("etag"), "\"1\"");
}

#[tokio::test]
async fn a_stored_password_is_an_argon2id_hash_that_verifies() {
    let app = TestApp::new().await;
    app.customer().await;
    let hash: String = sqlx::query_scalar("select password_hash from users").fetch_one(&app.db).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(Argon2::default().verify_password(PASSWORD.as_bytes(), &*hash).is_ok());
    assert!(Argon2::default().verify_password(b"another password", &*hash).is_err());
}

#[tokio::test]
async fn a_registration_that_cannot_be_is_refused_and_leaves_nothing() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let loud = alice.email.to_uppercase();
    for (body, status, code) in [
        (json!({ "email": alice.email, "password": PASSWORD, "name": "A" }), 409, "email_taken"),
        (json!({ "email": loud, "password": PASSWORD, "name": "A" }), 409, "email_taken"),
        (json!({ "email": "not an address", "password": PASSWORD, "name": "A" }), 422, "invalid_email"),
        (json!({ "email": "b@example.com", "password": "1234567", "name": "A" }), 422, "weak_password"),
        (json!({ "email": "b@example.com", "password": "x".repeat(129), "name": "A" }), 422, "weak_password"),
        (json!({ "email": "b@example.com", "password": PASSWORD, "name": "" }), 422, "invalid_name"),
        (json!({ "email": "b@example.com", "password": PASSWORD }), 422, "missing_field"),
        (json!({ "email": "b@example.com", "password": PASSWORD, "name": "A", "role": "admin" }), 422, "unknown_field"),
    ] {
        app.anyone().post("/v1/auth/register", body).await.refused(status, code);
    }
    assert_eq!(count(&app, "users").await, 1);
    assert_eq!(count(&app, "customers").await, 1);
}

#[tokio::test]
async fn of_two_who_register_one_address_at_once_one_gets_it() {
    let app = TestApp::new().await;
    let nobody = app.anyone();
    let register = |email: &'static str| {
        nobody.post("/v1/auth/register", json!({ "email": email, "password": PASSWORD, "name": "A" }))
    };
    let (one, other) = tokio::join!(register("a@example.com"), register("A@example.com"));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!((count(&app, "users").await, count(&app, "customers").await), (1, 1));
}
