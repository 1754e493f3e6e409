//! Rate limits of one process.

use reqwest::Method;
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};
use testkit::person::Person;

use super::seconds;

#[tokio::test]
async fn a_caller_is_told_its_limit_and_refused_past_it() {
    let app = TestApp::with(&["--rate-limit-read=3/1h"]).await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    for remaining in ["2", "1", "0"] {
        let reply = alice.get("/v1/orders").await.done(200);
        assert_eq!((reply.header("ratelimit-limit"), reply.header("ratelimit-remaining")), ("3", remaining));
        assert!((1..=3600).contains(&seconds(&reply, "ratelimit-reset")));
    }
    let refused = alice.get("/v1/orders").await;
    refused.refused(429, "rate_limited");
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    assert!((1..=1200).contains(&seconds(&refused, "retry-after")), "a third of the hour gives one back");

    alice.post("/v1/orders", json!({})).await.refused(422, "missing_field");
    bob.get("/v1/orders").await.done(200);
    app.anyone().get("/v1/products").await.done(200);
    app.anyone().get("/health").await.done(200);
    app.anyone().get("/openapi.json").await.done(200);
    for path in ["/health", "/openapi.json", "/docs/", "/.well-known/jwks.json", "/v1/products"] {
        app.anyone().get(path).await.refused(429, "rate_limited"); // All count as reads from this address.
    }
}

#[tokio::test]
async fn a_forged_x_forwarded_for_does_not_help() {
    let app = TestApp::with(&["--rate-limit-read=2/1h"]).await;
    let from = async |address: &str| {
        app.anyone().send(Method::GET, "/v1/products", None, &[("x-forwarded-for", address)]).await
    };
    from("203.0.113.1").await.done(200);
    from("203.0.113.2").await.done(200);
    from("203.0.113.3").await.refused(429, "rate_limited");
    let forged = [("x-forwarded-for", "203.0.113.4"), ("forwarded", "for=203.0.113.4"), ("x-real-ip", "203.0.113.4")];
    app.anyone().send(Method::GET, "/v1/products", None, &forged).await.refused(429, "rate_limited");
    let made_up = Person { token: Some("made.up.token".to_owned()), ..app.anyone() };
    made_up.get("/v1/products").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit_and_cannot_forge_another() {
    let app = TestApp::with(&["--rate-limit-read=1/1h", "--trusted-proxies=127.0.0.0/8"]).await;
    let through = async |forwarded: &str| {
        app.anyone().send(Method::GET, "/v1/products", None, &[("x-forwarded-for", forwarded)]).await
    };
    through("203.0.113.1").await.done(200);
    through("203.0.113.2").await.done(200);
    through("203.0.113.1").await.refused(429, "rate_limited");
    through("198.51.100.9, 203.0.113.1").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn signing_in_is_limited_per_address() {
    let app = TestApp::with(&["--rate-limit-login=2/1h"]).await;
    let nobody = json!({ "email": "nobody@example.com", "password": PASSWORD });
    for _ in 0..2 {
        app.anyone().post("/v1/auth/login", nobody.clone()).await.refused(401, "invalid_credentials");
    }
    app.anyone().post("/v1/auth/login", nobody.clone()).await.refused(429, "rate_limited");
    app.anyone().post("/v1/auth/register", nobody).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn rate_limits_can_be_off() {
    let app = TestApp::with(&["--rate-limits=off", "--rate-limit-read=1/1h"]).await;
    for _ in 0..5 {
        let reply = app.anyone().get("/v1/products").await.done(200);
        assert_eq!(reply.header("ratelimit-limit"), "");
    }
}
