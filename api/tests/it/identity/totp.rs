//! The second factor: `/v1/me/totp`, and logging in with it.

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};
use shared::identity::totp::{code, step_at};
use testkit::app::{PASSWORD, TestApp};
use testkit::person::{Person, Reply};

use super::{access_token, count, login};

async fn log_in_with(app: &TestApp, email: &str, code: &str) -> Reply {
    let body = json!({ "email": email, "password": PASSWORD, "code": code });
    app.anyone().post("/v1/auth/login", body).await
}

/// What an authenticator app does with the answer.
fn secret_of(setup: &Reply) -> Vec<u8> {
    let text = setup.body["secret"].as_str().unwrap();
    assert!(setup.body["otpauth_uri"].as_str().unwrap().contains(&format!("?secret={text}&issuer=Millrace")));
    let five = |c: char| format!("{:05b}", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap());
    let bits = text.chars().map(five).collect::<Vec<_>>().concat();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

/// The codes of the times around now that are good, earliest first.
fn codes(secret: &[u8]) -> Vec<String> {
    let now = step_at(Utc::now().timestamp());
    (now - 1..=now + 1).map(|step| code(secret, step)).collect()
}

/// A second factor that is on: its secret, and the recovery codes.
async fn switch_on(person: &Person<'_>) -> (Vec<u8>, Vec<String>) {
    let setup = person.post("/v1/me/totp", json!({})).await.done(201);
    let secret = secret_of(&setup);
    let confirmed = person.post("/v1/me/totp/confirm", json!({ "code": codes(&secret)[0] })).await.done(200);
    let recovery = confirmed.body["recovery_codes"].as_array().unwrap().clone();
    (secret, recovery.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn with_a_second_factor_a_password_alone_does_not_sign_in() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let elsewhere = app.anyone().with(access_token(&login(&app, &staff.email, PASSWORD).await.done(200)));
    assert_eq!(staff.get("/v1/me/totp").await.done(200).body, json!({ "on": false, "recovery_codes_left": 0 }));

    let setup = staff.post("/v1/me/totp", json!({})).await.done(201);
    login(&app, &staff.email, PASSWORD).await.done(200); // It counts only when it is confirmed.
    staff.post("/v1/me/totp/confirm", json!({ "code": "000000x" })).await.refused(401, "invalid_code");
    let secret = secret_of(&setup);
    let confirm = json!({ "code": codes(&secret)[0] });
    let recovery = staff.post("/v1/me/totp/confirm", confirm.clone()).await.done(200);
    assert_eq!(recovery.body["recovery_codes"].as_array().unwrap().len(), 10);
    staff.post("/v1/me/totp/confirm", confirm).await.refused(409, "totp_already_on");
    staff.post("/v1/me/totp", json!({})).await.refused(409, "totp_already_on");
    assert_eq!(staff.get("/v1/me/totp").await.done(200).body, json!({ "on": true, "recovery_codes_left": 10 }));
    staff.get("/v1/me").await.done(200);
    elsewhere.get("/v1/me").await.refused(401, "unauthenticated");

    let sessions = count(&app, "sessions").await;
    login(&app, &staff.email, "a wrong guess").await.refused(401, "invalid_credentials");
    login(&app, &staff.email, PASSWORD).await.refused(401, "totp_required");
    log_in_with(&app, &staff.email, "abcdef").await.refused(401, "invalid_code");
    let wrong = json!({ "email": staff.email, "password": "a wrong guess", "code": codes(&secret)[1] });
    app.anyone().post("/v1/auth/login", wrong).await.refused(401, "invalid_credentials");
    assert_eq!(count(&app, "sessions").await, sessions);
    let with_code = log_in_with(&app, &staff.email, &codes(&secret)[2]).await.done(200);
    app.anyone().with(access_token(&with_code)).get("/v1/ops/queues").await.done(200);
}

#[tokio::test]
async fn a_code_works_once_also_for_two_at_the_same_moment() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let (secret, _) = switch_on(&staff).await;
    let [spent, _, next] = codes(&secret).try_into().unwrap();
    log_in_with(&app, &staff.email, &spent).await.refused(401, "invalid_code"); // It switched the factor on.
    let (one, other) = tokio::join!(log_in_with(&app, &staff.email, &next), log_in_with(&app, &staff.email, &next));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    log_in_with(&app, &staff.email, &next).await.refused(401, "invalid_code");
}

#[tokio::test]
async fn a_recovery_code_works_once_however_it_is_written() {
    let app = TestApp::new().await;
    let (staff, bob) = (app.staff().await, app.staff().await);
    let (_, recovery) = switch_on(&staff).await;
    switch_on(&bob).await;
    log_in_with(&app, &bob.email, &recovery[0]).await.refused(401, "invalid_code"); // Another user's.
    let written = format!(" {} ", recovery[0].to_lowercase().replace('-', " "));
    log_in_with(&app, &staff.email, &written).await.done(200);
    log_in_with(&app, &staff.email, &recovery[0]).await.refused(401, "invalid_code");
    log_in_with(&app, &staff.email, &recovery[1]).await.done(200);
    assert_eq!(staff.get("/v1/me/totp").await.done(200).body["recovery_codes_left"], 8);
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("select hash from recovery_codes").fetch_all(&app.db).await.unwrap();
    assert!(stored.iter().all(|hash| hash.len() == 32), "only hashes are stored");
}

#[tokio::test]
async fn wrong_codes_count_as_wrong_passwords_do_and_a_missing_one_does_not() {
    let app = TestApp::with(&["--rate-limit-account=2/1h"]).await;
    let staff = app.staff().await;
    let (secret, _) = switch_on(&staff).await;
    for _ in 0..3 {
        login(&app, &staff.email, PASSWORD).await.refused(401, "totp_required");
    }
    log_in_with(&app, &staff.email, "abcdef").await.refused(401, "invalid_code");
    log_in_with(&app, &staff.email, "abcdef").await.refused(401, "invalid_code");
    log_in_with(&app, &staff.email, &codes(&secret)[2]).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn a_second_factor_is_switched_off_by_its_user_or_by_an_administrator() {
    let app = TestApp::new().await;
    let (admin, staff, bob) = (app.admin().await, app.staff().await, app.staff().await);
    switch_on(&staff).await;
    switch_on(&bob).await;
    staff.delete("/v1/me/totp").await.done(204);
    staff.delete("/v1/me/totp").await.done(204);
    login(&app, &staff.email, PASSWORD).await.done(200);
    let path = format!("/v1/users/{}/totp", bob.id);
    staff.delete(&path).await.refused(403, "forbidden");
    login(&app, &bob.email, PASSWORD).await.refused(401, "totp_required");
    admin.delete(&path).await.done(204);
    login(&app, &bob.email, PASSWORD).await.done(200);
    assert_eq!((count(&app, "totp").await, count(&app, "recovery_codes").await), (0, 0));

    let actions = admin.get("/v1/ops/actions?limit=100").await.done(200).body["data"].as_array().unwrap().clone();
    let of = |action: &str| -> Vec<(Value, Value)> {
        let those = actions.iter().filter(|row| row["action"] == action);
        those.map(|row| (row["by"]["id"].clone(), row["subject_id"].clone())).collect()
    };
    let (admin, staff, bob) = (json!(admin.id), json!(staff.id), json!(bob.id));
    assert_eq!(of("auth.totp_enabled"), [(bob.clone(), bob.clone()), (staff.clone(), staff.clone())]);
    assert_eq!(of("auth.totp_disabled"), [(admin, bob), (staff.clone(), staff)]);
}

#[tokio::test]
async fn staff_of_whom_a_second_factor_is_demanded_may_only_set_it_up() {
    let app = TestApp::with(&["--staff-require-totp=on"]).await;
    let (staff, admin, alice) = (app.staff().await, app.admin().await, app.customer().await);
    app.product("mug", 1200, 5).await;
    let order = testkit::person::order_of(json!([{ "sku": "mug", "quantity": 1 }]));
    for (person, method, path, body) in [
        (&staff, Method::GET, "/v1/ops/queues", None),
        (&staff, Method::GET, "/v1/orders", None),
        (&staff, Method::POST, "/v1/orders", Some(order.clone())),
        (&admin, Method::GET, "/v1/users", None),
        (&admin, Method::GET, "/v1/ops/actions", None),
    ] {
        person.send(method, path, body, &[]).await.refused(403, "totp_setup_required");
    }
    staff.get("/v1/products?active=false").await.refused(403, "forbidden");
    assert_eq!(count(&app, "orders").await, 0);
    alice.post("/v1/orders", order).await.done(201); // Customers need none.
    for path in ["/v1/me", "/v1/me/sessions", "/v1/me/totp", "/v1/products"] {
        staff.get(path).await.done(200);
    }

    let (secret, _) = switch_on(&staff).await;
    staff.get("/v1/ops/queues").await.done(200);
    login(&app, &staff.email, PASSWORD).await.refused(401, "totp_required");
    log_in_with(&app, &staff.email, &codes(&secret)[2]).await.done(200);
    staff.delete("/v1/me/totp").await.done(204);
    staff.get("/v1/ops/queues").await.refused(403, "totp_setup_required");
}

#[tokio::test]
async fn nothing_that_is_shown_or_recorded_holds_the_secret() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let setup = admin.post("/v1/me/totp", json!({})).await.done(201);
    let secret = setup.body["secret"].as_str().unwrap();
    let code = codes(&secret_of(&setup))[0].clone();
    let confirmed = admin.post("/v1/me/totp/confirm", json!({ "code": code })).await.done(200);
    let recovery = confirmed.body["recovery_codes"][0].as_str().unwrap();
    assert_eq!(setup.header("cache-control"), "no-store");
    assert_eq!(confirmed.header("cache-control"), "no-store");
    for path in ["/v1/me", "/v1/me/totp", "/v1/users", "/v1/ops/actions?limit=500"] {
        let text = admin.get(path).await.done(200).text;
        assert!(!text.contains(secret) && !text.contains(recovery), "{path}");
    }
}
