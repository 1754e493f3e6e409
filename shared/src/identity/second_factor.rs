//! The second factor of a user: an authenticator app (TOTP), and recovery codes for when it is lost. Alone writes `totp`
//! and `recovery_codes`.
//!
//! The secret is stored as it is, in a table that no view, log or action shows. To encrypt it we would need a key in the
//! same environment that holds `DATABASE_URL`, so the one who reads the table could mostly read the key too. Recovery codes
//! are random, so a plain hash of one cannot be guessed.

use std::fmt::Write as _;

use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::identity::refresh_tokens::digest;
use crate::identity::{sessions, totp};
use crate::principal::{By, Principal, Source};
use crate::values::UserId;

/// Enough for the life of a phone. A user who has used them up switches the second factor off and on again.
const RECOVERY_CODES: usize = 10;
/// 80 bits: nobody guesses one.
const RECOVERY_CODE_BYTES: usize = 10;

/// The state of the caller's second factor.
#[derive(Debug, Serialize, ToSchema)]
pub struct TotpView {
    /// Does signing in need a code?
    pub on: bool,
    #[schema(example = 10)]
    pub recovery_codes_left: i64,
}

/// What an authenticator app needs, shown once.
#[derive(Serialize, ToSchema)]
pub struct TotpSetup {
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    pub secret: String,
    /// The same for a QR code
    #[schema(
        example = "otpauth://totp/Millrace:sam@example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Millrace"
    )]
    pub otpauth_uri: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotp {
    /// The code that the authenticator app shows now
    #[schema(value_type = String, example = "492039", pattern = r"^[^\u0000]*$")]
    pub code: SecretString,
}

/// Each stands in for a code once. They are shown only here.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    #[schema(example = json!(["JBSW-Y3DP-EHPK-3PXP"]))]
    pub recovery_codes: Vec<String>,
}

pub async fn status(conn: &mut PgConnection, principal: &Principal) -> Result<TotpView> {
    let status = sqlx::query_as!(
        TotpView,
        "select exists (select from totp where user_id = $1 and confirmed_at is not null) as \"on!\",
                (select count(*) from recovery_codes where user_id = $1 and used_at is null) as \"recovery_codes_left!\"",
        principal.require_person()?.user_id.0,
    );
    Ok(status.fetch_one(conn).await?)
}

/// Makes a secret for the caller. It counts only after `confirm`, so a mistake locks nobody out. Repeating it makes another
/// secret.
pub async fn set_up(conn: &mut PgConnection, principal: &Principal) -> Result<TotpSetup> {
    let person = principal.require_person()?;
    sessions::require_fresh_password(conn, principal).await?;
    let mut secret = [0; totp::SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(Error::internal)?;
    let email = sqlx::query_scalar!(
        "with made as (
             insert into totp (user_id, secret) values ($1, $2)
             on conflict (user_id) do update set secret = excluded.secret, last_step = 0
                   where totp.confirmed_at is null
             returning user_id
         )
         select email from users join made on made.user_id = users.id",
        person.user_id.0,
        &secret[..],
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::TotpAlreadyOn)?;
    let secret = totp::base32(&secret);
    let otpauth_uri = format!("otpauth://totp/Millrace:{}?secret={secret}&issuer=Millrace", percent_encoded(&email));
    Ok(TotpSetup { secret, otpauth_uri })
}

/// Switches the second factor on, and ends the sessions that were begun without it, except the caller's. The caller must
/// then call `Identity::forget_user`.
pub async fn confirm(conn: &mut PgConnection, principal: &Principal, asked: &ConfirmTotp) -> Result<RecoveryCodes> {
    let person = principal.require_person()?;
    let made =
        sqlx::query!("select secret, confirmed_at from totp where user_id = $1 for no key update", person.user_id.0)
            .fetch_optional(&mut *conn)
            .await?
            .ok_or(Error::TotpNotSetUp)?;
    if made.confirmed_at.is_some() {
        return Err(Error::TotpAlreadyOn);
    }
    let code = plain(&asked.code);
    let step = totp::step_of(&made.secret, &code, Utc::now().timestamp()).ok_or(Error::InvalidCode)?;
    sqlx::query!(
        "update totp set confirmed_at = statement_timestamp(), last_step = $2 where user_id = $1",
        person.user_id.0,
        step,
    )
    .execute(&mut *conn)
    .await?;
    let recovery_codes = make_recovery_codes(conn, person.user_id).await?;
    sessions::end_all(conn, person.user_id, Some(person.session_id)).await?;
    actions::record(conn, principal, Action::new("auth.totp_enabled", "user", person.user_id)).await?;
    Ok(RecoveryCodes { recovery_codes })
}

/// Switches a user's second factor off: their own, or, by an administrator, that of a user who lost it. Repeating it
/// changes nothing. The caller must then call `Identity::forget_user`.
pub async fn switch_off(conn: &mut PgConnection, principal: &Principal, user_id: UserId) -> Result<()> {
    sessions::require_fresh_password(conn, principal).await?;
    let exists = sqlx::query_scalar!(
        "select exists (select from users where id = $1 and kind = 'person') as \"exists!\"",
        user_id.0
    );
    if !exists.fetch_one(&mut *conn).await? {
        return Err(Error::NotFound(Resource::User));
    }
    sqlx::query!("delete from recovery_codes where user_id = $1", user_id.0).execute(&mut *conn).await?;
    let removed = sqlx::query!("delete from totp where user_id = $1", user_id.0).execute(&mut *conn).await?;
    if removed.rows_affected() > 0 {
        actions::record(conn, principal, Action::new("auth.totp_disabled", "user", user_id)).await?;
    }
    Ok(())
}

/// Uses up a code of the app or a recovery code. Is it good?
pub(super) async fn spend(conn: &mut PgConnection, by: &By, source: &Source, code: &SecretString) -> Result<bool> {
    let code = plain(code);
    if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        return spend_totp(conn, by, &code).await;
    }
    let spent = sqlx::query!(
        "update recovery_codes set used_at = statement_timestamp() where user_id = $1 and hash = $2 and used_at is null",
        by.id,
        &digest(&[code.as_bytes()])[..],
    )
    .execute(&mut *conn)
    .await?;
    if spent.rows_affected() == 0 {
        return Ok(false);
    }
    actions::record_by(conn, Some(by), source, Action::new("auth.recovery_code_used", "user", by.id)).await?;
    Ok(true)
}

/// The guard on `last_step` makes a code that somebody has watched useless, also to one who sends it at the same moment.
async fn spend_totp(conn: &mut PgConnection, by: &By, code: &str) -> Result<bool> {
    let secret = sqlx::query_scalar!("select secret from totp where user_id = $1 and confirmed_at is not null", by.id)
        .fetch_optional(&mut *conn)
        .await?;
    let step = secret.and_then(|secret| totp::step_of(&secret, code, Utc::now().timestamp()));
    let Some(step) = step else { return Ok(false) };
    let spent = sqlx::query!("update totp set last_step = $2 where user_id = $1 and last_step < $2", by.id, step)
        .execute(conn)
        .await?;
    Ok(spent.rows_affected() > 0)
}

async fn make_recovery_codes(conn: &mut PgConnection, user_id: UserId) -> Result<Vec<String>> {
    let (mut codes, mut hashes) = (Vec::new(), Vec::new());
    for _ in 0..RECOVERY_CODES {
        let mut bytes = [0; RECOVERY_CODE_BYTES];
        getrandom::fill(&mut bytes).map_err(Error::internal)?;
        let code = totp::base32(&bytes);
        hashes.push(digest(&[code.as_bytes()]).to_vec());
        codes.push([&code[..4], &code[4..8], &code[8..12], &code[12..]].join("-"));
    }
    sqlx::query!("delete from recovery_codes where user_id = $1", user_id.0).execute(&mut *conn).await?;
    sqlx::query!(
        "insert into recovery_codes (user_id, hash) select $1, unnest($2::bytea[])",
        user_id.0,
        &hashes as &[Vec<u8>],
    )
    .execute(conn)
    .await?;
    Ok(codes)
}

/// People write codes with blanks, dashes and small letters.
fn plain(code: &SecretString) -> String {
    code.expose_secret().chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_uppercase()).collect()
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut written, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            written.push(char::from(byte));
        } else {
            write!(written, "%{byte:02X}").expect("writing to a String cannot fail");
        }
        written
    })
}
