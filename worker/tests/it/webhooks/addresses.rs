//! Where deliveries may go: judged again where the worker connects.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;
use serde_json::{Value, json};
use shared::values::WebhookId;
use shared::webhooks::outcome::AttemptError;
use shared::webhooks::pump::{DueDelivery, Recipient};
use shared::webhooks::times::RetryTimes;
use testkit::receiver::Receiver;
use testkit::workers::{TestSystem, WEBHOOK_KEY};
use uuid::Uuid;
use worker::webhooks::client::{GuardedClient, LookUp};
use worker::webhooks::send::Deliverer;

use super::{delivery_is, endpoint, worker};

/// The worker's own `WEBHOOK_ALLOW` counts, and not what was allowed when the endpoint was made.
#[tokio::test]
async fn an_address_that_is_allowed_no_longer_gets_nothing() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[("WEBHOOK_ALLOW", "127.0.0.2")]);
    let staff = system.app.staff().await;
    let receiver = Receiver::start().await;
    for url in [receiver.url.clone(), receiver.url.replace("127.0.0.1", "localhost")] {
        let (path, _) = endpoint(&staff, &url, &["order.*"]).await;
        let sent = staff.post(&format!("{path}/test"), json!({})).await.done(202);
        let event = sent.body["event_id"].as_str().unwrap();
        let refused = delivery_is(&staff, &path, event, |it| it["attempts"] != 0).await;
        let first = &refused["history"][0];
        assert_eq!((&first["error"], &first["status"]), (&json!("address_not_allowed"), &Value::Null), "{url}");
    }
    assert!(receiver.arrivals().is_empty(), "nothing is sent");
}

/// A name that pointed elsewhere when it was registered.
#[tokio::test]
async fn a_name_is_judged_by_the_address_that_is_connected_to() {
    let receiver = Receiver::start().await;
    let port = receiver.url.split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
    let inner = |address: &'static str| -> LookUp {
        Arc::new(move |_| async move { Ok(vec![SocketAddr::new(address.parse().unwrap(), 0)]) }.boxed())
    };
    for (scheme, address, allowed, error) in [
        ("https", "127.0.0.1", "", Some(AttemptError::AddressNotAllowed)),
        ("https", "::ffff:127.0.0.1", "", Some(AttemptError::AddressNotAllowed)),
        ("https", "64:ff9b::7f00:1", "", Some(AttemptError::AddressNotAllowed)),
        ("https", "2002:7f00:1::1", "", Some(AttemptError::AddressNotAllowed)),
        ("https", "169.254.169.254", "127.0.0.0/8", Some(AttemptError::AddressNotAllowed)),
        ("http", "1.1.1.1", "127.0.0.0/8", Some(AttemptError::AddressNotAllowed)),
        // It speaks no TLS, so the connection was made.
        ("https", "127.0.0.1", "127.0.0.0/8", Some(AttemptError::Tls)),
        ("http", "127.0.0.1", "127.0.0.0/8", None),
    ] {
        let client = GuardedClient::with(&allowed.parse().unwrap(), inner(address)).unwrap();
        let made = attempt(client, &format!("{scheme}://hooks.example:{port}/hooks")).await;
        assert_eq!(made, error, "{scheme} {address} {allowed}");
    }
    assert_eq!(receiver.arrivals().len(), 1);
}

/// The resolver is not asked about an address in the URL itself.
#[tokio::test]
async fn an_address_in_a_url_is_judged_in_any_spelling() {
    let receiver = Receiver::start().await;
    let port = receiver.url.split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "localhost"] {
        for scheme in ["http", "https"] {
            let client = GuardedClient::new(&"".parse().unwrap()).unwrap();
            let made = attempt(client, &format!("{scheme}://{host}:{port}/hooks")).await;
            assert_eq!(made, Some(AttemptError::AddressNotAllowed), "{scheme} {host}");
        }
    }
    assert!(receiver.arrivals().is_empty());
}

async fn attempt(client: GuardedClient, url: &str) -> Option<AttemptError> {
    let key = secrecy::SecretString::from(WEBHOOK_KEY).try_into().unwrap();
    let deliverer =
        Deliverer { client, key: None, times: RetryTimes { scale: 1.0 }, timeout: std::time::Duration::from_secs(5) };
    let recipient = Recipient { url: url.to_owned(), secret_number: 1, previous_signs: false };
    let due = DueDelivery {
        position: 1,
        subject: Uuid::nil(),
        event_id: "evt_1".to_owned(),
        body: "{\"type\":\"x\"}".to_owned(),
        attempt: 1,
        used: 0,
        probe: false,
        wait: std::time::Duration::ZERO,
    };
    deliverer.deliver(&key, WebhookId::new(), &recipient, due).await.error
}
