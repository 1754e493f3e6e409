//! What signed-in users do with their own password: changing it, and confirming it before something dangerous.

use secrecy::SecretString;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::identity::authenticate::Identity;
use crate::identity::metrics::SignInOutcome;
use crate::identity::passwords::{self, Asker};
use crate::identity::sessions;
use crate::principal::{Person, Principal};
use crate::values::password::NewPassword;
use crate::values::{Email, Name};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    #[schema(value_type = String, format = "password", pattern = r"^[^\u0000]*$")]
    pub current_password: SecretString,
    pub new_password: NewPassword,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmPassword {
    #[schema(value_type = String, format = "password", pattern = r"^[^\u0000]*$")]
    pub password: SecretString,
}

impl Identity {
    /// Changes the caller's own password and ends their other sessions.
    ///
    /// Takes the pool, because no connection may be held while a password is hashed.
    pub async fn change_password(&self, db: &PgPool, principal: &Principal, change: ChangePassword) -> Result<()> {
        let person = principal.require_person()?;
        let stored = stored_password(db, person).await?;
        change
            .new_password
            .refuse_own(&stored.email, &stored.name)
            .map_err(|why| Error::InvalidFields(vec![why.at("new_password")]))?;
        self.check_own(db, principal, change.current_password, stored.hash.clone()).await?;
        let hash = passwords::hash(change.new_password, Asker::SignedIn).await?;
        let mut tx = db.begin().await?;
        let changed = sqlx::query!(
            "update users set password_hash = $3, updated_at = statement_timestamp()
              where id = $1 and password_hash = $2 and active",
            person.user_id.0,
            stored.hash,
            hash,
        )
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Err(Error::InvalidCredentials); // It was changed meanwhile.
        }
        sessions::password_given(&mut tx, person.session_id).await?;
        sessions::end_all(&mut tx, person.user_id, Some(person.session_id)).await?;
        let changed = Action::new("auth.password_changed", "user", person.user_id);
        actions::record(&mut tx, principal, changed).await?;
        tx.commit().await?;
        self.forget_user(person.user_id);
        Ok(())
    }

    /// Checks the caller's own password. For five minutes their session may then do what needs a fresh password.
    ///
    /// Takes the pool, because no connection may be held while a password is hashed.
    pub async fn confirm_password(&self, db: &PgPool, principal: &Principal, asked: ConfirmPassword) -> Result<()> {
        let person = principal.require_person()?;
        let stored = stored_password(db, person).await?;
        self.check_own(db, principal, asked.password, stored.hash).await?;
        let mut tx = db.begin().await?;
        sessions::password_given(&mut tx, person.session_id).await?;
        actions::record(&mut tx, principal, Action::new("auth.password_confirmed", "user", person.user_id)).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn check_own(&self, db: &PgPool, principal: &Principal, password: SecretString, hash: String) -> Result<()> {
        let person = principal.require_person()?;
        if passwords::verify(password, Some(hash), Asker::SignedIn, &self.metrics).await? {
            return Ok(());
        }
        self.metrics.count(SignInOutcome::Wrong);
        let refused = Action::new("auth.password_refused", "user", person.user_id);
        actions::record(&mut *db.acquire().await?, principal, refused).await?;
        Err(Error::InvalidCredentials)
    }
}

struct StoredPassword {
    hash: String,
    email: Email,
    name: Name,
}

async fn stored_password(db: &PgPool, person: &Person) -> Result<StoredPassword> {
    sqlx::query_as!(
        StoredPassword,
        "select password_hash as hash, email as \"email: Email\", name as \"name: Name\" from users where id = $1 and active",
        person.user_id.0,
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::Unauthenticated)
}
