//! Accounts and sessions: who a caller is. Alone writes `users`, `sessions` and `refresh_tokens`.

pub mod api_keys;
pub mod attempts;
pub mod authenticate;
pub mod cookies;
pub mod invites;
pub mod key_text;
pub mod known_keys;
pub mod known_networks;
pub mod metrics;
pub mod own_password;
pub mod second_factor;
pub mod service_accounts;
pub mod sessions;
pub mod sign_in;
pub mod tokens;
pub mod totp;
pub mod users;

mod passwords;
mod refresh_tokens;
