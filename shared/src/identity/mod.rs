//! Accounts and sessions: who a caller is. Alone writes `users`, `sessions` and `refresh_tokens`.

pub mod attempts;
pub mod authenticate;
pub mod cookies;
pub mod sessions;
pub mod tokens;
pub mod users;

mod passwords;
