//! Accounts, sessions and roles.

use std::sync::Arc;
use std::time::Duration;

use argon2::{Argon2, PasswordVerifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use shared::identity::tokens::Keys;
use shared::identity::{Identity, IdentitySettings};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use testkit::app::{PASSWORD, TEST_KEY, TestApp, settings};
use testkit::person::{Person, Reply};
use testkit::until::until;

const TEST_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAm6ZHrIc13oeA9lklYE+rSsMZlY2bhYVCjTxz2ieVu1Y=
-----END PUBLIC KEY-----
";

/// Another key, of an installation before or after.
const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIFUn/c8Ju/N7F+ziNtFaN4q0HXvyL5r45OQ0bRbiHqx1
-----END PRIVATE KEY-----
";

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
    assert_eq!(me.body, user.body);
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
        (&*alice.email, &*"x".repeat(100_000)),
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

// Access tokens

#[tokio::test]
async fn forged_and_expired_tokens_are_refused() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let genuine = alice.token.clone().unwrap();
    let header = jsonwebtoken::decode_header(&genuine).unwrap();
    let claims: Value = claims_of(&genuine);
    let key = EncodingKey::from_ed_pem(TEST_KEY.as_bytes()).unwrap();
    let other_key = EncodingKey::from_ed_pem(OTHER_KEY.as_bytes()).unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let sign = |header: &Header, claims: &Value, key: &EncodingKey| jsonwebtoken::encode(header, claims, key).unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let [_, payload, signature] = genuine.split('.').collect::<Vec<_>>().try_into().unwrap();
    let kid = header.kid.clone().unwrap();
    let unsigned = |alg: &str| part(&json!({ "alg": alg, "typ": "at+jwt", "kid": kid }));
    let public_key = app.anyone().get("/.well-known/jwks.json").await.body["keys"][0]["x"].as_str().unwrap().to_owned();
    let hs256 = Header { alg: Algorithm::HS256, ..header.clone() };
    let now = Utc::now().timestamp();

    let honest = sign(&header, &claims, &key);
    app.anyone().with(&honest).get("/v1/me").await.done(200); // So the forger knows how it is done.
    for (what, token) in [
        ("expired", sign(&header, &with("exp", json!(now - 1)), &key)),
        ("expired this second", sign(&header, &with("exp", json!(now)), &key)),
        ("never expires", sign(&header, &without("exp"), &key)),
        ("alg none", format!("{}.{payload}.", unsigned("none"))),
        ("alg none with a signature", format!("{}.{payload}.{signature}", unsigned("none"))),
        ("alg HS256, an honest signature", format!("{}.{payload}.{signature}", unsigned("HS256"))),
        (
            "alg HS256 by the public key",
            sign(&hs256, &claims, &EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(&public_key).unwrap())),
        ),
        ("alg HS256 by its text", sign(&hs256, &claims, &EncodingKey::from_secret(public_key.as_bytes()))),
        ("alg HS256 by its PEM", sign(&hs256, &claims, &EncodingKey::from_secret(TEST_PUBLIC_KEY.as_bytes()))),
        ("another key under our kid", sign(&header, &claims, &other_key)),
        ("another kid", sign(&Header { kid: Some("another".to_owned()), ..header.clone() }, &claims, &key)),
        ("no kid", sign(&Header { kid: None, ..header.clone() }, &claims, &key)),
        ("another type", sign(&Header { typ: Some("JWT".to_owned()), ..header.clone() }, &claims, &key)),
        ("no type", sign(&Header { typ: None, ..header.clone() }, &claims, &key)),
        ("something critical", sign(&Header { crit: Some(vec!["b64".to_owned()]), ..header.clone() }, &claims, &key)),
        ("another issuer", sign(&header, &with("iss", json!("elsewhere")), &key)),
        ("no issuer", sign(&header, &without("iss"), &key)),
        ("another audience", sign(&header, &with("aud", json!("elsewhere")), &key)),
        ("no audience", sign(&header, &without("aud"), &key)),
        ("another session", sign(&header, &with("sid", json!(Uuid::now_v7())), &key)),
        ("another user", sign(&header, &with("sub", json!(app.admin().await.id)), &key)),
        ("other claims, same signature", {
            let claims = part(&with("sub", json!(Uuid::now_v7())));
            format!("{}.{claims}.{signature}", genuine.split('.').next().unwrap())
        }),
        ("cut short", genuine[..genuine.len() - 2].to_owned()),
        ("no token", "nonsense".to_owned()),
        ("very long", "a.b.".to_owned() + &"c".repeat(4000)),
    ] {
        let reply = app.anyone().with(&token).get("/v1/me").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "unauthenticated"), "{what}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    alice.get("/v1/me").await.done(200);
}

#[tokio::test]
async fn an_access_token_ends_with_its_time_also_after_it_was_believed() {
    let app = TestApp::with(&["--access-token-ttl", "1s"]).await;
    let alice = app.customer().await;
    alice.get("/v1/me").await.done(200);
    until("the token has expired", async || alice.get("/v1/me").await.status == 401).await;
}

#[tokio::test]
async fn tokens_of_a_previous_key_are_believed_while_it_is_listed() {
    let before = TestApp::new().await;
    let alice = before.customer().await;
    let after = beside(&before, |settings| {
        settings.private_key = OTHER_KEY.to_owned().into();
        settings.previous_public_keys = Some(TEST_PUBLIC_KEY.to_owned());
    })
    .await;
    let unaware = beside(&before, |settings| settings.private_key = OTHER_KEY.to_owned().into()).await;

    after.anyone().with(alice.token.as_ref().unwrap()).get("/v1/me").await.done(200);
    unaware.anyone().with(alice.token.as_ref().unwrap()).get("/v1/me").await.refused(401, "unauthenticated");

    let bob = after.customer().await;
    bob.get("/v1/me").await.done(200);
    before.anyone().with(bob.token.as_ref().unwrap()).get("/v1/me").await.refused(401, "unauthenticated");
    unaware.anyone().with(bob.token.as_ref().unwrap()).get("/v1/me").await.done(200);

    let kid_of = |person: &Person| jsonwebtoken::decode_header(person.token.as_ref().unwrap()).unwrap().kid.unwrap();
    let jwks = after.anyone().get("/.well-known/jwks.json").await.done(200);
    let keys = jwks.body["keys"].as_array().unwrap();
    assert_eq!(keys.iter().map(|key| &key["kid"]).collect::<Vec<_>>(), [&*kid_of(&bob), &*kid_of(&alice)]);
    for key in keys {
        assert_eq!(
            (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
            (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"), &json!("sig"))
        );
        assert_eq!(key.as_object().unwrap().len(), 6, "nothing private: {key}");
    }
}

#[test]
fn a_key_that_is_none_is_named_and_not_quoted() {
    let secret = "MC4CAQAwBQYDK2VwBCIEICK0wiYbFsopBwLBYPARWckKJ59173Cc2Vfg7GOSjm+S";
    let cut = TEST_KEY.replace("jm+S", "");
    for (private, previous, named) in [
        ("", "", "JWT_PRIVATE_KEY"),
        ("nonsense", "", "JWT_PRIVATE_KEY"),
        (secret, "", "JWT_PRIVATE_KEY"),
        (&*cut, "", "JWT_PRIVATE_KEY"),
        (TEST_PUBLIC_KEY, "", "JWT_PRIVATE_KEY"),
        (TEST_KEY, "nonsense", "JWT_PREVIOUS_PUBLIC_KEYS"),
        (TEST_KEY, TEST_KEY, "JWT_PREVIOUS_PUBLIC_KEYS"),
        (TEST_KEY, &format!("{TEST_PUBLIC_KEY}nonsense"), "JWT_PREVIOUS_PUBLIC_KEYS"),
    ] {
        let complaint = Keys::new(&private.to_owned().into(), previous).err().unwrap();
        assert!(complaint.contains(named), "{complaint}");
        assert!(!complaint.contains("MC4CAQ") && !complaint.contains("nonsense"), "{complaint}");
    }
    for (private, previous) in [
        (TEST_KEY, String::new()),
        (&*TEST_KEY.replace('\n', "\\n"), TEST_PUBLIC_KEY.replace('\n', "\\n")),
        (OTHER_KEY, format!("{TEST_PUBLIC_KEY}\n{TEST_PUBLIC_KEY}")),
    ] {
        Keys::new(&private.to_owned().into(), &previous).map(drop).unwrap();
    }
}

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
        // The access token outlives a refresh token that was not used, and not the session.
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

// Ending sessions

#[tokio::test]
async fn logging_out_ends_this_session_and_no_other() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let login = login(&app, &alice.email, PASSWORD).await.done(200);
    let here = app.anyone().with(access_token(&login));
    here.get("/v1/me").await.done(200);
    let out = here.send(Method::POST, "/v1/auth/logout", None, &[]).await.done(204);
    assert_eq!(out.text, "");
    here.get("/v1/me").await.refused(401, "unauthenticated");
    here.send(Method::POST, "/v1/auth/logout", None, &[]).await.refused(401, "unauthenticated");
    refresh(&app, refresh_token(&login)).await.refused(401, "invalid_token");
    alice.get("/v1/me").await.done(200);
}

#[tokio::test]
async fn changing_the_password_ends_the_other_sessions() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let here = login(&app, &alice.email, PASSWORD).await.done(200);
    let me = app.anyone().with(access_token(&here));
    alice.get("/v1/me").await.done(200);

    let change = json!({ "current_password": PASSWORD, "new_password": "battery horse" });
    me.post("/v1/me/password", change).await.done(204);

    me.get("/v1/me").await.done(200);
    refresh(&app, refresh_token(&here)).await.done(200);
    alice.get("/v1/me").await.refused(401, "unauthenticated");
    login(&app, &alice.email, PASSWORD).await.refused(401, "invalid_credentials");
    login(&app, &alice.email, "battery horse").await.done(200);
}

#[tokio::test]
async fn a_password_change_that_cannot_be_is_refused_and_changes_nothing() {
    let app = TestApp::new().await;
    let (alice, other) = (app.customer().await, app.customer().await);
    let elsewhere = log_in(&app, &alice.email, PASSWORD).await;
    for (current, new, status, code) in
        [("wrong password", "battery horse", 401, "invalid_credentials"), (PASSWORD, "short", 422, "weak_password")]
    {
        let change = json!({ "current_password": current, "new_password": new });
        alice.post("/v1/me/password", change).await.refused(status, code);
    }
    elsewhere.get("/v1/me").await.done(200);
    other.get("/v1/me").await.done(200);
    login(&app, &alice.email, PASSWORD).await.done(200);
}

// Administering

#[tokio::test]
async fn deactivating_ends_the_sessions_here_at_once_and_in_every_process_in_time() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    let login = login(&app, &alice.email, PASSWORD).await.done(200);
    let other = beside(&app, |settings| settings.caller_believed_for = Duration::from_millis(300)).await;
    let alice_there = other.anyone().with(alice.token.as_ref().unwrap());
    alice_there.get("/v1/me").await.done(200);
    alice.get("/v1/me").await.done(200);

    let path = format!("/v1/users/{}", alice.id);
    let user = admin.patch(&path, json!({ "active": false })).await.done(200);
    assert_eq!(user.body["active"], false);

    alice.get("/v1/me").await.refused(401, "unauthenticated");
    refresh(&app, refresh_token(&login)).await.refused(401, "invalid_token");
    until("the other process knows", async || alice_there.get("/v1/me").await.status == 401).await;

    admin.patch(&path, json!({ "active": true })).await.done(200);
    alice.get("/v1/me").await.refused(401, "unauthenticated");
    refresh(&app, refresh_token(&login)).await.refused(401, "invalid_token");
    log_in(&app, &alice.email, PASSWORD).await.get("/v1/me").await.done(200);
}

#[tokio::test]
async fn a_role_that_is_given_or_taken_counts_for_tokens_that_are_out() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    let path = format!("/v1/users/{}", alice.id);
    alice.get("/v1/users").await.refused(403, "forbidden");
    admin.patch(&path, json!({ "role": "admin" })).await.done(200);
    alice.get("/v1/users").await.done(200);
    admin.patch(&path, json!({ "role": "staff" })).await.done(200);
    alice.get("/v1/users").await.refused(403, "forbidden");
}

#[tokio::test]
async fn users_are_administered_by_administrators_only() {
    let app = TestApp::new().await;
    let (admin, staff, customer, target) =
        (app.admin().await, app.staff().await, app.customer().await, app.customer().await);
    let path = format!("/v1/users/{}", target.id);
    for (method, path, body) in [
        (Method::GET, "/v1/users", None),
        (Method::GET, &*path, None),
        (Method::PATCH, &*path, Some(json!({ "role": "staff" }))),
    ] {
        let send = async |person: &Person<'_>| person.send(method.clone(), path, body.clone(), &[]).await;
        send(&app.anyone()).await.refused(401, "unauthenticated");
        send(&customer).await.refused(403, "forbidden");
        send(&staff).await.refused(403, "forbidden");
        assert_eq!(role_of(&app, target.id).await, "customer");
        send(&admin).await.done(200);
    }
    assert_eq!(role_of(&app, target.id).await, "staff");
    for (method, path) in
        [(Method::GET, "/v1/me"), (Method::POST, "/v1/me/password"), (Method::POST, "/v1/auth/logout")]
    {
        app.anyone().send(method, path, None, &[]).await.refused(401, "unauthenticated");
    }
}

#[tokio::test]
async fn users_are_listed_page_by_page_and_found_by_their_address() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let mut ids = vec![admin.id.to_string()];
    let mut last = None;
    for _ in 0..4 {
        let person = app.customer().await;
        ids.push(person.id.to_string());
        last = Some(person);
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/users?limit=2".to_owned());
    loop {
        let page = admin.get(&path).await.done(200);
        seen.extend(page.body["data"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()));
        assert!(!page.text.contains("argon2"));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/users?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ids);

    let last = last.unwrap();
    let found = admin.get(&format!("/v1/users?email={}", last.email.to_uppercase())).await.done(200);
    assert_eq!(found.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(found.body["data"][0]["id"], last.id.to_string());
    admin.get("/v1/users?limit=501").await.refused(422, "invalid_limit");
    admin.get("/v1/users?colour=red").await.refused(422, "unknown_field");
}

#[tokio::test]
async fn a_user_is_changed_only_as_it_was_seen() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    let path = format!("/v1/users/{}", alice.id);
    let seen = admin.get(&path).await.done(200);
    assert_eq!(seen.header("etag"), "\"1\"");
    let patch = async |tag: &str, body: Value| admin.send(Method::PATCH, &path, Some(body), &[("if-match", tag)]).await;
    let changed = patch("\"1\"", json!({ "role": "staff" })).await.done(200);
    assert_eq!((changed.header("etag"), &changed.body["role"]), ("\"2\"", &json!("staff")));
    patch("\"1\"", json!({ "role": "admin" })).await.refused(412, "version_mismatch");
    assert_eq!(role_of(&app, alice.id).await, "staff");

    let nobody = format!("/v1/users/{}", Uuid::now_v7());
    admin.patch(&nobody, json!({ "role": "staff" })).await.refused(404, "user_not_found");
    admin.get(&nobody).await.refused(404, "user_not_found");
    admin.patch("/v1/users/nobody", json!({ "role": "staff" })).await.refused(404, "not_found");
    admin.patch(&path, json!({ "role": "king" })).await.refused(422, "invalid_value");
    admin.patch(&path, json!({ "email": "x@example.com" })).await.refused(422, "unknown_field");
    assert_eq!(role_of(&app, alice.id).await, "staff");
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let app = TestApp::new().await;
    let (admin, former) = (app.admin().await, app.admin().await);
    let path = format!("/v1/users/{}", admin.id);
    admin.patch(&format!("/v1/users/{}", former.id), json!({ "active": false })).await.done(200);
    for change in
        [json!({ "active": false }), json!({ "role": "staff" }), json!({ "role": "customer", "active": true })]
    {
        admin.patch(&path, change).await.refused(409, "last_admin");
    }
    assert_eq!(admin.get(&path).await.done(200).header("etag"), "\"1\"");
    admin.get("/v1/users").await.done(200);
}

#[tokio::test]
async fn of_two_administrators_who_demote_each_other_one_is_left() {
    let app = TestApp::new().await;
    let (one, other) = (app.admin().await, app.admin().await);
    let demote = async |by: &Person<'_>, whom: &Person<'_>| {
        by.patch(&format!("/v1/users/{}", whom.id), json!({ "role": "customer" })).await
    };
    tokio::join!(demote(&one, &other), demote(&other, &one));
    let left: i64 = sqlx::query_scalar("select count(*) from users where role = 'admin' and active")
        .fetch_one(&app.db)
        .await
        .unwrap();
    assert_eq!(left, 1);
}

// What this file's tests do often

async fn login(app: &TestApp, email: &str, password: &str) -> Reply {
    app.anyone().post("/v1/auth/login", json!({ "email": email, "password": password })).await
}

async fn log_in<'a>(app: &'a TestApp, email: &str, password: &str) -> Person<'a> {
    app.anyone().with(access_token(&login(app, email, password).await.done(200)))
}

async fn refresh(app: &TestApp, token: &str) -> Reply {
    app.anyone().post("/v1/auth/refresh", json!({ "refresh_token": token })).await
}

fn access_token(reply: &Reply) -> &str {
    reply.body["access_token"].as_str().unwrap()
}

fn refresh_token(reply: &Reply) -> &str {
    reply.body["refresh_token"].as_str().unwrap()
}

fn claims_of(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode(token).unwrap().claims
}

/// Another process on the same database, whose identity is set up differently.
async fn beside(app: &TestApp, change: impl FnOnce(&mut IdentitySettings)) -> TestApp {
    let cli = settings(&app.database_url, &[]);
    let mut state = api::serve::state(&cli.common, cli.serve).unwrap();
    let mut settings = state.settings.identity().unwrap();
    change(&mut settings);
    state.identity = Arc::new(Identity::new(settings).unwrap());
    TestApp::serve(&app.database_url, state).await
}

async fn run(app: &TestApp, sql: &'static str) {
    sqlx::query(sql).execute(&app.db).await.unwrap();
}

async fn count(app: &TestApp, table: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}"))).fetch_one(&app.db).await.unwrap()
}

async fn role_of(app: &TestApp, id: Uuid) -> String {
    sqlx::query_scalar("select role from users where id = $1").bind(id).fetch_one(&app.db).await.unwrap()
}
