//! The settings of webhooks that both programs have. Writes no table.

use clap::Args;
use secrecy::SecretString;

use crate::error::{Error, Result};
use crate::platform::addresses::Networks;
use crate::webhooks::secret::MasterKey;

#[derive(Debug, Clone, Args)]
pub struct WebhookSettings {
    /// The key from which the secrets of webhooks are derived: text of at least 32 characters, the same in every process.
    /// Without it there are no webhooks
    #[arg(long, env = "WEBHOOK_MASTER_KEY", hide_env_values = true, value_parser = master_key)]
    pub webhook_master_key: Option<MasterKey>,

    /// Inner networks that webhooks may reach, also over http and on any port: addresses and networks, with commas
    #[arg(long, env = "WEBHOOK_ALLOW", default_value = "", hide_default_value = true)]
    pub webhook_allow: Networks,
}

impl WebhookSettings {
    pub fn master_key(&self) -> Result<&MasterKey> {
        self.webhook_master_key.as_ref().ok_or(Error::WebhooksOff)
    }
}

/// The complaint does not quote the key. An empty one counts as a wrong one: it may be a secret that was not mounted.
fn master_key(text: &str) -> Result<MasterKey, String> {
    MasterKey::try_from(SecretString::from(text))
}
