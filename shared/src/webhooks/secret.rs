//! The secrets of endpoints and the signature of a delivery, by Standard Webhooks. No secret is stored: each is derived
//! from `WEBHOOK_MASTER_KEY`, so a dump of the database holds none. Writes no table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::values::WebhookId;

/// Shorter keys can be guessed.
pub const SHORTEST_MASTER_KEY: usize = 32;

/// The key from which all secrets are derived (`WEBHOOK_MASTER_KEY`).
#[derive(Debug, Clone)]
pub struct MasterKey(SecretString);

/// The 32 bytes with which the deliveries of an endpoint are signed.
#[derive(Clone)]
pub struct EndpointSecret([u8; 32]);

impl TryFrom<SecretString> for MasterKey {
    type Error = String;

    fn try_from(text: SecretString) -> Result<Self, String> {
        match text.expose_secret().len() {
            0..SHORTEST_MASTER_KEY => Err(format!("it must have at least {SHORTEST_MASTER_KEY} characters")),
            _ => Ok(Self(text)),
        }
    }
}

impl MasterKey {
    /// The secret of an endpoint; `number` grows with each rotation.
    pub fn secret(&self, endpoint: WebhookId, number: i32) -> EndpointSecret {
        let mut mac = mac(self.0.expose_secret().as_bytes());
        mac.update(endpoint.0.as_bytes());
        mac.update(&number.to_be_bytes());
        EndpointSecret(mac.finalize().into_bytes().into())
    }
}

impl EndpointSecret {
    /// As the receiver gets it: `whsec_` and base64.
    pub fn text(&self) -> String {
        format!("whsec_{}", STANDARD.encode(self.0))
    }

    fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = mac(&self.0);
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: one signature for each secret, with a space between.
pub fn signature(secrets: &[EndpointSecret], id: &str, timestamp: i64, body: &str) -> String {
    secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification (standard-webhooks/spec).
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut secret = mac(&key);
        let body = r#"{"test": 2432232314}"#;
        secret.update(format!("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{body}").as_bytes());
        assert_eq!(STANDARD.encode(secret.finalize().into_bytes()), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_differ_by_endpoint_and_number_and_stay() {
        let key = MasterKey::try_from(SecretString::from("0123456789abcdef0123456789abcdef")).unwrap();
        let (one, other) = (WebhookId::new(), WebhookId::new());
        let text = key.secret(one, 1).text();
        assert_eq!(text, key.secret(one, 1).text());
        assert_ne!(text, key.secret(one, 2).text());
        assert_ne!(text, key.secret(other, 1).text());
        assert_eq!(STANDARD.decode(text.strip_prefix("whsec_").unwrap()).unwrap().len(), 32);
        let both = signature(&[key.secret(one, 2), key.secret(one, 1)], "evt_a_1", 7, "{}");
        assert_eq!(both.split(' ').count(), 2);
        assert!(both.split(' ').all(|one| one.starts_with("v1,")));
        assert!(MasterKey::try_from(SecretString::from("short")).is_err());
    }
}
