//! `/v1/auth/login`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::app::{PASSWORD, TestApp};

use super::{access_token, claims_of, count, login, refresh_token};

// Logging in

#[tokio::test]
async fn logging_in_gives_tokens_that_are_believed() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let login = login(&app, &alice.email, PASSWORD).await.done(200);
    assert_eq!(login.body["token_type"], "Bearer");
    assert_eq!(login.body["expires_in"], 900);
    assert_eq!(login.header("cache-control"), "no-store");

    let header = jsonwebtoken::decode_header(access_token(&login)).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::EdDSA, Some("at+jwt")));
    let keys = app.anyone().get("/.well-known/jwks.json").await.done(200);
    assert_eq!(keys.body["keys"][0]["kid"].as_str(), header.kid.as_deref());
    let claims: Value = claims_of(access_token(&login));
    assert_eq!(claims["sub"], alice.id.to_string());
    assert!((900..=901).contains(&(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap())), "rounded up");

    let me = app.anyone().with(access_token(&login)).get("/v1/me").await.done(200);
    assert_eq!(me.id(), alice.id.to_string());
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("select hash from refresh_tokens").fetch_all(&app.db).await.unwrap();
    let token = URL_SAFE_NO_PAD.decode(refresh_token(&login)).unwrap();
    assert!(token.len() == 32 && kept.iter().all(|hash| *hash != token), "only hashes are kept");
}

#[tokio::test]
async fn all_wrong_credentials_are_refused_alike() {
    let app = TestApp::new().await;
    let (alice, bob, admin) = (app.customer().await, app.customer().await, app.admin().await);
    admin.patch(&format!("/v1/users/{}", bob.id), json!({ "active": false })).await.done(200);
    let sessions = count(&app, "sessions").await;

    let mut answers = Vec::new();
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        (&*alice.email, "wrong password"),
        (&*alice.email, ""),
        (&*alice.email, &*"x".repeat(7_000)),
        (&*bob.email, PASSWORD),
        ("not an address", PASSWORD),
        ("", ""),
    ] {
        let mut refused = login(&app, email, password).await;
        refused.refused(401, "invalid_credentials");
        refused.body["request_id"].take();
        answers.push(refused.body);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(count(&app, "sessions").await, sessions);
}

#[tokio::test]
async fn wrong_passwords_are_limited_per_account_and_address_whether_the_account_exists_or_not() {
    let app = TestApp::with(&["--rate-limit-account", "3/1h", "--trusted-proxies", "127.0.0.1"]).await;
    let alice = app.customer().await;
    let from = async |address: &str, email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        app.anyone().send(Method::POST, "/v1/auth/login", Some(body), &[("x-forwarded-for", address)]).await
    };
    for email in [&*alice.email, "nobody@example.com"] {
        for spelling in [email.to_owned(), email.to_uppercase(), format!(" {email} ")] {
            from("198.51.100.1", &spelling, "wrong password").await.refused(401, "invalid_credentials");
        }
        let refused = from("198.51.100.1", email, PASSWORD).await;
        refused.refused(429, "rate_limited");
        let retry_after: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=1200).contains(&retry_after), "{retry_after}");
    }
    from("198.51.100.2", &alice.email, PASSWORD).await.done(200);
}

#[tokio::test]
async fn right_passwords_do_not_count_against_the_limit() {
    let app = TestApp::with(&["--rate-limit-account", "2/1h"]).await;
    let alice = app.customer().await;
    for _ in 0..5 {
        login(&app, &alice.email, PASSWORD).await.done(200);
    }
}

#[tokio::test]
async fn the_current_password_cannot_be_guessed_with_a_stolen_token_either() {
    let app = TestApp::with(&["--rate-limit-account", "2/1h"]).await;
    let alice = app.customer().await;
    let guess = json!({ "current_password": "a wrong guess", "new_password": "battery horse" });
    for _ in 0..2 {
        alice.post("/v1/me/password", guess.clone()).await.refused(401, "invalid_credentials");
    }
    alice.post("/v1/me/password", guess).await.refused(429, "rate_limited");
}
