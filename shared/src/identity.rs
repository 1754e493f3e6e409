//! Who is asking: accounts, sessions and roles. Alone writes `users`, `sessions` and `refresh_tokens`.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::values::{CustomerId, Email, Name, NewPassword, SessionId, UserId};

/// What somebody may do. Each role may do what the ones before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Role {
    Customer,
    Staff,
    Admin,
}

/// Somebody with a valid access token, as the database knows them (at most half a minute ago).
#[derive(Debug, Clone)]
pub struct Caller {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub role: Role,
    /// The customer that they order as unless staff say otherwise.
    pub customer_id: CustomerId,
}

impl Caller {
    pub fn is_staff(&self) -> bool {
        self.role >= Role::Staff
    }

    pub fn require(&self, role: Role) -> Result<()> {
        if self.role >= role {
            return Ok(());
        }
        Err(Error::Forbidden { needed: if role == Role::Admin { "admin" } else { "staff" } })
    }
}

/// What `Identity` is made from.
pub struct Settings {
    pub private_key: SecretString,
    /// PEMs, one after the other.
    pub previous_public_keys: Option<String>,
    pub access_token_ttl: Duration,
    pub refresh_token_ttl: Duration,
    pub session_max_age: Duration,
}

/// How passwords are hashed, and how tokens are made and believed.
pub struct Identity {}

impl Identity {
    pub fn new(_settings: Settings) -> Result<Self> {
        Ok(Self {})
    }

    pub async fn authenticate(&self, _db: &sqlx::PgPool, _token: &str) -> Result<Caller> {
        Err(Error::Unauthenticated)
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct User {
    pub id: UserId,
}

pub async fn create_user(
    _db: &sqlx::PgPool,
    _email: Email,
    _password: NewPassword,
    _name: Name,
    _role: Role,
) -> Result<User> {
    Err(Error::Unauthenticated)
}
