//! Invitations: an administrator makes an account, and its user chooses the password by a link that works once. Alone
//! writes `invites`.
//!
//! A link is a secret: the database has only its hash. Making another one also helps a user who forgot the password.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::identity::authenticate::Identity;
use crate::identity::passwords::{self, Asker};
use crate::identity::refresh_tokens::digest;
use crate::identity::sessions;
use crate::identity::users::{self, UserView};
use crate::principal::{By, Principal, Role, Source};
use crate::values::password::NewPassword;
use crate::values::{Email, Name, UserId};

/// Long enough for somebody who reads mail once a day.
const GOOD_FOR_HOURS: i32 = 24;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteUser {
    pub email: Email,
    pub name: Name,
    pub role: Role,
}

/// A new user, and the link by which they choose their password.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvitedUser {
    #[serde(flatten)]
    pub user: UserView,
    /// Works once, for 24 hours. Null in a replay: we do not store it
    #[schema(example = "https://shop.example/invite/q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    pub invite_url: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvite {
    /// The last part of the link
    #[schema(value_type = String, example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA", pattern = r"^[^\u0000]*$")]
    pub token: SecretString,
    pub password: NewPassword,
}

/// Makes an account with any role, and the token of its invitation.
pub async fn invite(conn: &mut PgConnection, principal: &Principal, asked: &InviteUser) -> Result<(UserView, String)> {
    sessions::require_fresh_password(conn, principal).await?;
    let user = users::insert(conn, &asked.email, &hash_of_nothing()?, &asked.name, asked.role).await?;
    let invited = Action::new("user.invited", "user", user.id).data(json!({ "role": asked.role }));
    actions::record(conn, principal, invited).await?;
    let token = make(conn, user.id).await?;
    Ok((user, token))
}

/// Invites a user again: the first link has expired, or they forgot their password. Earlier links no longer work.
pub async fn invite_again(conn: &mut PgConnection, principal: &Principal, id: UserId) -> Result<(UserView, String)> {
    sessions::require_fresh_password(conn, principal).await?;
    let user = users::get_user(conn, id).await?;
    actions::record(conn, principal, Action::new("user.invited_again", "user", id)).await?;
    let token = make(conn, id).await?;
    Ok((user, token))
}

impl Identity {
    /// Sets the password of an invited user and ends their sessions. The second factor stays, if there is one.
    ///
    /// Takes the pool, because no connection may be held while a password is hashed.
    pub async fn accept_invite(&self, db: &PgPool, asked: AcceptInvite, source: &Source) -> Result<()> {
        let token = URL_SAFE_NO_PAD.decode(asked.token.expose_secret()).map_err(|_| Error::InvalidToken)?;
        let hash = digest(&[&token]);
        let invited = sqlx::query!(
            "select u.email as \"email: Email\", u.name as \"name: Name\" from invites i join users u on u.id = i.user_id
              where i.hash = $1 and i.expires_at > clock_timestamp() and u.active",
            &hash[..],
        )
        .fetch_optional(db)
        .await?
        .ok_or(Error::InvalidToken)?;
        let own = asked.password.refuse_own(&invited.email, &invited.name);
        own.map_err(|why| Error::InvalidFields(vec![why.at("password")]))?;
        let password_hash = passwords::hash(asked.password, Asker::Stranger).await?;
        let mut tx = db.begin().await?;
        let user = sqlx::query!(
            "with spent as (
                 delete from invites where hash = $1 and expires_at > statement_timestamp() returning user_id
             )
             update users set password_hash = $2, updated_at = statement_timestamp()
               from spent where id = spent.user_id and active
             returning id as \"id: UserId\", name",
            &hash[..],
            password_hash,
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::InvalidToken)?;
        sessions::end_all(&mut tx, user.id, None).await?;
        let by = By { id: user.id.0, name: user.name };
        actions::record_by(&mut tx, Some(&by), source, Action::new("auth.invite_accepted", "user", user.id)).await?;
        tx.commit().await?;
        self.forget_user(user.id);
        Ok(())
    }
}

/// One link for each user: a new one replaces the one before.
async fn make(conn: &mut PgConnection, user_id: UserId) -> Result<String> {
    let token = random()?;
    sqlx::query!(
        "insert into invites (user_id, hash, expires_at)
         values ($1, $2, clock_timestamp() + make_interval(hours => $3))
         on conflict (user_id) do update set hash = excluded.hash, expires_at = excluded.expires_at",
        user_id.0,
        &digest(&[&token])[..],
        GOOD_FOR_HOURS,
    )
    .execute(conn)
    .await?;
    Ok(URL_SAFE_NO_PAD.encode(token))
}

/// A hash in the usual form that no password has: its bytes are random. So a login costs what it always costs.
pub(super) fn hash_of_nothing() -> Result<String> {
    let (salt, hash) = (random()?, random()?);
    let written = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
    Ok(format!("$argon2id$v=19$m=19456,t=2,p=1${}${}", written(&salt[..16]), written(&hash)))
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(bytes)
}
