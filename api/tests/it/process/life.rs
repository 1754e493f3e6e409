//! Start, log and stop of the process.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use testkit::app::{PASSWORD, TestApp};
use testkit::database::{empty_database, new_database};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Process, SECRET, assert_no_secret, binary, enough};

const MASTER_KEY: &str = "a master key of forty characters or more..";

#[tokio::test]
async fn two_that_start_at_once_on_an_empty_database_both_come_up() {
    let database = empty_database().await;
    let mut both = [(); 2].map(|()| Process::start(&mut binary(&enough(&database))));
    for process in &mut both {
        let ready = format!("{}/health/ready", process.url());
        assert_eq!(reqwest::get(ready).await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn logs_are_lines_of_json_that_name_the_request_and_hold_no_secret() {
    let database = new_database().await;
    let (mut process, url) = Process::serve(&database);
    let http = reqwest::Client::new();
    let account = json!({ "email": "alice@example.com", "password": PASSWORD, "name": "Alice" });
    let register = http.post(format!("{url}/v1/auth/register")).header("x-request-id", "first").json(&account);
    assert_eq!(register.send().await.unwrap().status(), StatusCode::CREATED);
    let login = json!({ "email": "alice@example.com", "password": PASSWORD });
    let login = http.post(format!("{url}/v1/auth/login")).header("x-request-id", "second").json(&login);
    let tokens: Value = login.send().await.unwrap().json().await.unwrap();
    let token = tokens["access_token"].as_str().unwrap();
    let third = http.get(format!("{url}/v1/orders?{SECRET}=1")).header("x-request-id", "third").bearer_auth(token);
    assert_eq!(third.send().await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);

    let third: Value = serde_json::from_str(&process.line("third")).unwrap();
    assert_eq!(third["level"], "INFO");
    assert_eq!(third["status"], 422);
    assert_eq!(third["request_id"], "third");
    assert_eq!(third["route"], "/v1/orders");
    assert!(third["user_id"].is_string(), "{third}");
    assert!(third["timestamp"].as_str().unwrap().ends_with('Z'), "{third}");

    process.signal("TERM");
    process.end().await;
    let logged = process.seen.join("\n");
    for line in &process.seen {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line["message"].is_string()), "{line}");
    }
    for request in ["first", "second", "third"] {
        assert!(logged.contains(&format!(r#""request_id":"{request}""#)), "{request}: {logged}");
    }
    assert_no_secret(&logged);
    for secret in [token, tokens["refresh_token"].as_str().unwrap(), "alice@example.com"] {
        assert!(!logged.contains(secret), "{secret} is in {logged}");
    }
}

/// A key and a secret of a webhook are shown once. Neither the logs nor the database have them, so no backup has.
#[tokio::test]
async fn keys_and_secrets_of_webhooks_are_in_no_log_and_in_no_table() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let token = admin.token.as_deref().unwrap();
    let mut settings = enough(&app.database_url);
    settings.extend([("RUST_LOG", "debug"), ("WEBHOOK_MASTER_KEY", MASTER_KEY)]);
    let mut process = Process::start(&mut binary(&settings));
    let url = process.url();
    let http = reqwest::Client::new();
    let post = async |path: String, token: &str, key: &str, body: Value| -> Value {
        let request = http.post(format!("{url}{path}")).bearer_auth(token).header("idempotency-key", key);
        request.json(&body).send().await.unwrap().json().await.unwrap()
    };
    let account = post("/v1/service-accounts".to_owned(), token, "1", json!({ "name": "Robot" })).await;
    let keys = format!("/v1/service-accounts/{}/keys", account["id"].as_str().unwrap());
    let made = post(keys, token, "2", json!({ "name": "k", "scopes": ["orders:read", "webhooks:manage"] })).await;
    let key = made["key"].as_str().unwrap();
    let webhook = json!({ "url": "https://erp.example/hooks", "types": ["*"] });
    let webhook = post("/v1/webhooks".to_owned(), key, "3", webhook).await;
    let again =
        post("/v1/webhooks".to_owned(), key, "3", json!({ "url": "https://erp.example/hooks", "types": ["*"] })).await;
    assert_eq!(again, webhook, "a repetition shows the secret again, without its being stored");
    let orders = async |key: &str| http.get(format!("{url}/v1/orders")).bearer_auth(key).send().await.unwrap().status();
    assert_eq!(orders(key).await, StatusCode::OK);
    let mistyped = key.replace("mr_test_", "mr_test_1");
    for wrong in [mistyped.as_str(), "mr_test_00000000_nonsense"] {
        assert_eq!(orders(wrong).await, StatusCode::UNAUTHORIZED);
    }
    process.signal("TERM");
    process.end().await;
    let logged = process.seen.join("\n");
    assert!(logged.contains("/v1/webhooks"), "{logged}");
    let secret = webhook["secret"].as_str().unwrap();
    let hidden = key.split('_').nth(3).unwrap();
    for secret in [hidden, secret.strip_prefix("whsec_").unwrap(), MASTER_KEY] {
        assert!(!logged.contains(secret), "{secret} is in {logged}");
        let tables = "select array_agg(relname::text) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_one(&app.db).await.unwrap();
        for table in tables {
            let rows = format!("select count(*) from {table} t where position($1 in t::text) > 0");
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(rows)).bind(secret).fetch_one(&app.db).await.unwrap();
            assert_eq!(rows, 0, "{secret} is in {table}");
        }
    }
}

#[tokio::test]
async fn asked_to_stop_it_ends_well_and_asked_again_at_once() {
    let database = new_database().await;
    for signal in ["TERM", "INT"] {
        let (mut process, url) = Process::serve(&database);
        assert_eq!(reqwest::get(format!("{url}/health")).await.unwrap().status(), StatusCode::OK);
        process.signal(signal);
        assert_eq!(process.end().await.code(), Some(0));
        assert!(process.seen.last().unwrap().contains("stopped"), "{:#?}", process.seen);
    }

    let (mut process, url) = Process::serve(&database);
    let mut endless = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let half =
        b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    endless.write_all(half).await.unwrap();
    process.signal("TERM");
    process.line("asked to stop");
    process.signal("TERM");
    assert_eq!(process.end().await.code(), Some(1));
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_named_once_with_its_setting() {
    let (mut process, url) = Process::serve(&new_database().await);
    let http = reqwest::Client::new();
    http.get(format!("{url}/v1/products")).send().await.unwrap();
    for forwarded in ["203.0.113.7", "203.0.113.8", "nonsense"] {
        http.get(format!("{url}/v1/products")).header("x-forwarded-for", forwarded).send().await.unwrap();
    }
    let warning: Value = serde_json::from_str(&process.line("TRUSTED_PROXIES")).unwrap();
    assert_eq!((&warning["level"], &warning["peer"]), (&json!("WARN"), &json!("127.0.0.1")), "{warning}");
    assert!(warning["message"].as_str().unwrap().contains("127.0.0.1"), "{warning}");
    process.signal("TERM");
    process.end().await;
    let warnings = process.seen.iter().filter(|line| line.contains("TRUSTED_PROXIES")).count();
    assert_eq!(warnings, 1, "{:#?}", process.seen);

    let database = new_database().await;
    let mut settings = enough(&database);
    settings.push(("TRUSTED_PROXIES", "127.0.0.1"));
    let mut process = Process::start(&mut binary(&settings));
    let url = process.url();
    http.get(format!("{url}/v1/products")).header("x-forwarded-for", "203.0.113.7").send().await.unwrap();
    process.signal("TERM");
    process.end().await;
    assert!(!process.seen.iter().any(|line| line.contains("X-Forwarded-For")), "{:#?}", process.seen);
}
