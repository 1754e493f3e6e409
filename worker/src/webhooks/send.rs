//! Makes one attempt to deliver: signs, sends, and says how it went.

use std::error::Error as _;
use std::time::{Duration, Instant};

use chrono::Utc;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use shared::platform::addresses::Networks;
use shared::values::WebhookId;
use shared::webhooks::outcome::{AttemptError, MadeAttempt};
use shared::webhooks::pump::{DueDelivery, Recipient};
use shared::webhooks::receiver_url::ReceiverUrl;
use shared::webhooks::secret::{MasterKey, signature};
use shared::webhooks::times::RetryTimes;

use super::client::{GuardedClient, NotAllowed};

/// So much of an answer is read, so that the connection can be used again.
const READ: usize = 16 * 1024;
/// So much of it is kept, for persons.
const KEPT: usize = 1024;

/// What a process needs to deliver. Cloning it clones handles.
#[derive(Clone)]
pub struct Deliverer {
    pub client: GuardedClient,
    /// None: this process cannot sign, so it sends nothing.
    pub key: Option<MasterKey>,
    pub times: RetryTimes,
    /// For a whole attempt.
    pub timeout: Duration,
}

impl Deliverer {
    /// Without a key: it sends nothing.
    pub fn off() -> reqwest::Result<Self> {
        let client = GuardedClient::new(&Networks::default())?;
        Ok(Self { client, key: None, times: RetryTimes { scale: 1.0 }, timeout: Duration::from_secs(15) })
    }

    pub async fn deliver(&self, key: &MasterKey, endpoint: WebhookId, to: &Recipient, due: DueDelivery) -> MadeAttempt {
        let (at, started) = (Utc::now(), Instant::now());
        let attempt = async {
            let mut made = self.send(key, endpoint, to, &due).await;
            let took = started.elapsed();
            let response = match made.answer.take() {
                Some(answer) => Some(beginning(answer, self.timeout.saturating_sub(took)).await),
                None => None,
            };
            (made, took, response)
        };
        // The client has a timeout too. This one also covers what it does before it connects.
        match tokio::time::timeout(self.timeout + Duration::from_secs(1), attempt).await {
            Ok((made, took, response)) => MadeAttempt {
                delivery: due,
                at,
                took,
                status: made.status,
                error: made.error,
                response,
                retry_after: made.retry_after,
            },
            Err(_) => MadeAttempt {
                delivery: due,
                at,
                took: started.elapsed(),
                status: None,
                error: Some(AttemptError::Timeout),
                response: None,
                retry_after: None,
            },
        }
    }

    async fn send(&self, key: &MasterKey, endpoint: WebhookId, to: &Recipient, due: &DueDelivery) -> Sent {
        let request = match ReceiverUrl::parse(&to.url).map_err(|_| NotAllowed).and_then(|url| self.client.post(&url)) {
            Ok(request) => request,
            Err(NotAllowed) => return Sent::failed(AttemptError::AddressNotAllowed),
        };
        let mut secrets = vec![key.secret(endpoint, to.secret_number)];
        if to.previous_signs {
            secrets.push(key.secret(endpoint, to.secret_number - 1));
        }
        let timestamp = Utc::now().timestamp();
        let sending = request
            .timeout(self.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &due.event_id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature(&secrets, &due.event_id, timestamp, &due.body))
            .body(due.body.clone())
            .send();
        match sending.await {
            Ok(answer) => {
                let status = answer.status();
                let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let retry_after = asked.and_then(|asked| self.times.retry_after(asked, Utc::now()));
                let error = (!status.is_success()).then_some(AttemptError::Status);
                Sent { status: Some(status.as_u16()), error, retry_after, answer: Some(answer) }
            }
            Err(error) => Sent::failed(reason(&error)),
        }
    }
}

struct Sent {
    status: Option<u16>,
    error: Option<AttemptError>,
    retry_after: Option<Duration>,
    answer: Option<reqwest::Response>,
}

impl Sent {
    fn failed(error: AttemptError) -> Self {
        Self { status: None, error: Some(error), retry_after: None, answer: None }
    }
}

/// Why no answer came.
fn reason(error: &reqwest::Error) -> AttemptError {
    let (mut next, mut is_tls) = (error.source(), false);
    while let Some(cause) = next {
        if cause.is::<NotAllowed>() {
            return AttemptError::AddressNotAllowed;
        }
        is_tls |= is_about_tls(cause);
        next = cause.source();
    }
    match error {
        _ if is_tls => AttemptError::Tls,
        error if error.is_timeout() => AttemptError::Timeout,
        _ => AttemptError::Connection,
    }
}

/// An error of TLS arrives inside of one or more `io::Error`s, whose `source` passes over their own content.
fn is_about_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_about_tls(inner))
}

/// Reads the beginning of an answer within this time. What cannot be read does not matter.
async fn beginning(mut answer: reqwest::Response, within: Duration) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() < READ
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            bytes.extend_from_slice(&chunk);
        }
    };
    _ = tokio::time::timeout(within, reading).await;
    bytes.truncate(KEPT);
    String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")
}
