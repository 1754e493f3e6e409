//! What holds for staff and administrators only: shorter sessions, and a fresh password for what gives away power.

use serde_json::json;
use testkit::app::{PASSWORD, TestApp};
use uuid::Uuid;

use super::{access_token, login, refresh, refresh_token, run};

// Sessions

#[tokio::test]
async fn a_session_of_staff_lasts_half_a_day_and_one_of_a_customer_a_month() {
    let app = TestApp::new().await;
    for (person, hours) in [(app.customer().await, 720.0), (app.staff().await, 12.0), (app.admin().await, 12.0)] {
        let lasts: f64 = sqlx::query_scalar(
            "select extract(epoch from expires_at - created_at)::float8 / 3600 from sessions where user_id = $1",
        )
        .bind(person.id)
        .fetch_one(&app.db)
        .await
        .unwrap();
        assert!((lasts - hours).abs() < 0.01, "{lasts}");
    }
}

#[tokio::test]
async fn a_session_of_staff_ends_when_it_is_old_or_idle_and_one_of_a_customer_does_not() {
    let app = TestApp::new().await;
    for age in [
        "update sessions set last_seen_at = clock_timestamp() - interval '31 minutes'",
        "update sessions set created_at = clock_timestamp() - interval '721 minutes'",
    ] {
        let (customer, staff, admin) = (app.customer().await, app.staff().await, app.admin().await);
        let mut logins = Vec::new();
        for person in [&customer, &staff, &admin] {
            logins.push(login(&app, &person.email, PASSWORD).await.done(200));
        }
        run(&app, age).await;
        for (login, status) in logins.iter().zip([200, 401, 401]) {
            let me = app.anyone().with(access_token(login)).get("/v1/me").await;
            assert_eq!(me.status.as_u16(), status, "{age}");
            assert_eq!(refresh(&app, refresh_token(login)).await.status.as_u16(), status, "{age}");
        }
    }
}

#[tokio::test]
async fn one_who_becomes_staff_has_a_session_of_staff_at_once() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    run(
        &app,
        "update sessions s set created_at = clock_timestamp() - interval '13 hours'
                 from users u where u.id = s.user_id and u.role = 'customer'",
    )
    .await;
    alice.get("/v1/me").await.done(200);
    admin.patch(&format!("/v1/users/{}", alice.id), json!({ "role": "staff" })).await.done(200);
    alice.get("/v1/me").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn requests_and_refreshes_keep_a_session_of_staff_awake() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let session = login(&app, &staff.email, PASSWORD).await.done(200);
    run(&app, "update sessions set last_seen_at = clock_timestamp() - interval '29 minutes'").await;
    staff.get("/v1/me").await.done(200);
    refresh(&app, refresh_token(&session)).await.done(200);
    let awake: i64 =
        app.count("select count(*) from sessions where last_seen_at > clock_timestamp() - interval '1 minute'").await;
    assert_eq!(awake, 2);
}

// Ending the sessions of others

#[tokio::test]
async fn an_administrator_ends_all_sessions_of_a_user() {
    let app = TestApp::new().await;
    let (admin, staff, alice) = (app.admin().await, app.staff().await, app.customer().await);
    let other = login(&app, &alice.email, PASSWORD).await.done(200);
    let path = format!("/v1/users/{}/sessions", alice.id);
    alice.get("/v1/me").await.done(200);
    app.anyone().delete(&path).await.refused(401, "unauthenticated");
    staff.delete(&path).await.refused(403, "forbidden");
    alice.delete(&path).await.refused(403, "forbidden");
    alice.get("/v1/me").await.done(200);

    admin.delete(&path).await.done(204);
    alice.get("/v1/me").await.refused(401, "unauthenticated");
    refresh(&app, refresh_token(&other)).await.refused(401, "invalid_token");
    admin.get("/v1/me").await.done(200);
    login(&app, &alice.email, PASSWORD).await.done(200);
    admin.delete(&format!("/v1/users/{}/sessions", Uuid::now_v7())).await.refused(404, "user_not_found");
    let ended = admin.get("/v1/ops/actions?action=user.sessions_ended").await.done(200);
    assert_eq!(ended.body["data"][0]["subject_id"], alice.id.to_string());
    assert_eq!(ended.body["data"][0]["data"], json!({ "sessions": 2 }));
}

// A fresh password

#[tokio::test]
async fn roles_and_the_sessions_of_others_need_a_password_given_in_the_last_five_minutes() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    let (user, sessions) = (format!("/v1/users/{}", alice.id), format!("/v1/users/{}/sessions", alice.id));
    let stale = "update sessions set password_at = clock_timestamp() - interval '301 seconds'";
    let refused = async || {
        for reply in [
            admin.patch(&user, json!({ "role": "staff" })).await,
            admin.patch(&user, json!({ "active": false })).await,
            admin.delete(&sessions).await,
            admin.delete(&format!("{user}/totp")).await,
            admin.post("/v1/me/totp", json!({})).await,
            admin.delete("/v1/me/totp").await,
        ] {
            reply.refused(403, "password_required");
            assert!(reply.body["detail"].as_str().unwrap().contains("/v1/me/password/confirm"));
        }
    };
    run(&app, stale).await;
    refused().await;
    let confirm = async |password: &str| admin.post("/v1/me/password/confirm", json!({ "password": password })).await;
    confirm("a wrong guess").await.refused(401, "invalid_credentials");
    refused().await;
    alice.get("/v1/me").await.done(200);
    assert_eq!(admin.get(&user).await.done(200).body["role"], "customer");

    confirm(PASSWORD).await.done(204);
    admin.patch(&user, json!({ "role": "staff" })).await.done(200);

    // Of this session only: another one of the same user has to give it too.
    run(&app, stale).await;
    let other = app.anyone().with(access_token(&login(&app, &admin.email, PASSWORD).await.done(200)));
    refused().await;
    other.patch(&user, json!({ "role": "customer" })).await.done(200);
    // A refresh is no password.
    run(&app, stale).await;
    other.patch(&user, json!({ "role": "staff" })).await.refused(403, "password_required");
    let change = json!({ "current_password": PASSWORD, "new_password": "battery horse correct" });
    other.post("/v1/me/password", change).await.done(204);
    other.patch(&user, json!({ "role": "staff" })).await.done(200);

    let actions = other.get("/v1/ops/actions?limit=100").await.done(200).text;
    for action in ["auth.password_refused", "auth.password_confirmed", "auth.password_changed"] {
        assert!(actions.contains(action), "{action} is not recorded");
    }
}
