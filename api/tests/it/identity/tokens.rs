//! Access tokens and the keys that sign them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use shared::identity::tokens::Keys;
use testkit::app::{TEST_KEY, TestApp};
use testkit::person::Person;
use testkit::until::until;
use uuid::Uuid;

use super::{beside, claims_of};

const TEST_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAm6ZHrIc13oeA9lklYE+rSsMZlY2bhYVCjTxz2ieVu1Y=
-----END PUBLIC KEY-----
";

/// A key of another installation.
const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIFUn/c8Ju/N7F+ziNtFaN4q0HXvyL5r45OQ0bRbiHqx1
-----END PRIVATE KEY-----
";

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
    app.anyone().with(&honest).get("/v1/me").await.done(200); // An unchanged token is accepted.
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
