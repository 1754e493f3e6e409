//! `/v1/auth/refresh`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};
use uuid::Uuid;

use super::{access_token, claims_of, login, refresh, refresh_token, run};

// Refreshing

#[tokio::test]
async fn refreshing_spends_the_token_for_the_next_pair() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let first = login(&app, &alice.email, PASSWORD).await.done(200);
    let second = refresh(&app, refresh_token(&first)).await.done(200);
    let third = refresh(&app, refresh_token(&second)).await.done(200);
    assert_eq!(third.body["expires_in"], 900);
    assert_eq!(third.header("cache-control"), "no-store");
    let mut tokens = [&first, &second, &third].map(refresh_token);
    tokens.sort_unstable();
    assert!(tokens.windows(2).all(|pair| pair[0] != pair[1]));
    for reply in [first, second, third] {
        app.anyone().with(access_token(&reply)).get("/v1/me").await.done(200);
    }
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again_and_is_the_same_successor() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let first = login(&app, &alice.email, PASSWORD).await.done(200);
    let (one, other) = tokio::join!(refresh(&app, refresh_token(&first)), refresh(&app, refresh_token(&first)));
    let (one, other) = (one.done(200), other.done(200));
    assert_eq!(refresh_token(&one), refresh_token(&other));
    let again = refresh(&app, refresh_token(&first)).await.done(200);
    assert_eq!(refresh_token(&again), refresh_token(&one));
    app.anyone().with(access_token(&again)).get("/v1/me").await.done(200);
    refresh(&app, refresh_token(&again)).await.done(200);
}

#[tokio::test]
async fn a_spent_token_that_comes_late_ends_its_family_and_no_other() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let elsewhere = login(&app, &alice.email, PASSWORD).await.done(200);
    let first = login(&app, &alice.email, PASSWORD).await.done(200);
    let second = refresh(&app, refresh_token(&first)).await.done(200);
    run(&app, "update refresh_tokens set spent_at = spent_at - interval '10 seconds'").await;

    refresh(&app, refresh_token(&first)).await.refused(401, "invalid_token");
    refresh(&app, refresh_token(&second)).await.refused(401, "invalid_token");
    app.anyone().with(access_token(&second)).get("/v1/me").await.refused(401, "unauthenticated");
    refresh(&app, refresh_token(&elsewhere)).await.done(200);
}

#[tokio::test]
async fn a_spent_token_from_another_client_ends_its_family_at_once() {
    let app = TestApp::with(&["--trusted-proxies", "127.0.0.1"]).await;
    let alice = app.customer().await;
    for stranger in [("user-agent", "another"), ("x-forwarded-for", "198.51.100.1")] {
        let first = login(&app, &alice.email, PASSWORD).await.done(200);
        let second = refresh(&app, refresh_token(&first)).await.done(200);
        let body = json!({ "refresh_token": refresh_token(&first) });
        let stolen = app.anyone().send(Method::POST, "/v1/auth/refresh", Some(body), &[stranger]).await;
        stolen.refused(401, "invalid_token");
        refresh(&app, refresh_token(&second)).await.refused(401, "invalid_token");
    }
}

#[tokio::test]
async fn a_token_that_is_tampered_with_or_unknown_is_refused_and_changes_nothing() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let login = login(&app, &alice.email, PASSWORD).await.done(200);
    let genuine = refresh_token(&login);
    let mut flipped = URL_SAFE_NO_PAD.decode(genuine).unwrap();
    flipped[31] ^= 1;
    for token in [
        "",
        "nonsense",
        "%%%",
        &genuine[..genuine.len() - 1],
        &format!("{genuine}A"),
        &format!("{genuine}="),
        &URL_SAFE_NO_PAD.encode(flipped),
        &URL_SAFE_NO_PAD.encode([7; 32]),
        access_token(&login),
    ] {
        refresh(&app, token).await.refused(401, "invalid_token");
    }
    app.anyone().post("/v1/auth/refresh", json!({})).await.refused(422, "missing_field");
    refresh(&app, genuine).await.done(200);
}

#[tokio::test]
async fn an_expired_refresh_token_or_session_is_refused() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    for (expire, gives) in [
        ("update refresh_tokens set expires_at = clock_timestamp()", 200),
        ("update sessions set expires_at = clock_timestamp()", 401),
    ] {
        let login = login(&app, &alice.email, PASSWORD).await.done(200);
        run(&app, expire).await;
        refresh(&app, refresh_token(&login)).await.refused(401, "invalid_token");
        // An access token stays valid if the refresh token expires, but not if the session expires.
        assert_eq!(app.anyone().with(access_token(&login)).get("/v1/me").await.status.as_u16(), gives);
    }
}

#[tokio::test]
async fn no_refresh_prolongs_a_session_beyond_its_greatest_age() {
    let app = TestApp::with(&["--session-max-age", "5m"]).await;
    let alice = app.customer().await;
    let first = login(&app, &alice.email, PASSWORD).await.done(200);
    assert!((299..=300).contains(&first.body["expires_in"].as_i64().unwrap()), "{first:?}");
    run(&app, "update sessions set expires_at = clock_timestamp() + interval '1 minute'").await;
    let second = refresh(&app, refresh_token(&first)).await.done(200);
    assert!((59..=60).contains(&second.body["expires_in"].as_i64().unwrap()), "{second:?}");
    let session: Uuid = serde_json::from_value(claims_of(access_token(&second))["sid"].take()).unwrap();
    let (token_ends, session_ends): (DateTime<Utc>, DateTime<Utc>) = sqlx::query_as(
        "select t.expires_at, s.expires_at from refresh_tokens t join sessions s on s.id = t.session_id
          where s.id = $1 and t.spent_at is null",
    )
    .bind(session)
    .fetch_one(&app.db)
    .await
    .unwrap();
    assert_eq!(token_ends, session_ends);
}
