//! The commands of `millrace-api` other than `serve`.

use std::path::Path;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use shared::identity::users;
use shared::platform::settings::Common;
use shared::principal::Role;
use shared::values::password::NewPassword;
use shared::values::{Email, Name};
use sqlx::PgPool;

use crate::config::Serve;

fn pool(common: &Common) -> anyhow::Result<PgPool> {
    common.pool("millrace-api").map_err(anyhow::Error::msg)
}

pub async fn migrate(common: &Common, down: Option<u32>, app_role: Option<&str>) -> anyhow::Result<()> {
    let db = pool(common)?;
    match down {
        None => shared::platform::db::migrate::up(&db, &shared::migrations::MIGRATOR).await?,
        Some(steps) => shared::platform::db::migrate::down(&db, &shared::migrations::MIGRATOR, steps as usize).await?,
    }
    if let Some(role) = app_role {
        shared::platform::db::roles::grant(&db, role).await.context("DATABASE_APP_ROLE")?;
    }
    println!("the database is at version {}", shared::platform::db::migrate::version(&db).await?);
    Ok(())
}

/// Loads the demo shop, without its users.
pub async fn seed(common: &Common, dir: &Path) -> anyhow::Result<()> {
    let db = pool(common)?;
    let summary = shared::seed::load(&db, dir).await.with_context(|| format!("the demo shop in {}", dir.display()))?;
    println!("{summary}");
    Ok(())
}

/// As `seed`, with its users. Their passwords are public, so it refuses where other machines can reach the API.
pub async fn seed_with_users(common: &Common, api: &Serve, dir: &Path, force: bool) -> anyhow::Result<()> {
    if api.is_public() && !force {
        anyhow::bail!(
            "--demo-users makes an administrator whose password everybody knows, and API_ADDR={} can be reached from \
             other machines; add --force if that is what you want",
            api.api_addr
        );
    }
    seed(common, dir).await?;
    let db = pool(common)?;
    let summary =
        shared::seed::load_users(&db, dir).await.with_context(|| format!("the demo users in {}", dir.display()))?;
    println!("{summary}");
    Ok(())
}

/// After a dump was restored, or to number events from before the feed.
pub async fn rebuild_feed(common: &Common) -> anyhow::Result<()> {
    let db = pool(common)?;
    let numbered = shared::feed::rebuild::rebuild(&db).await.context("the feed could not be rebuilt")?;
    println!("the feed is rebuilt: {numbered} events got a number");
    Ok(())
}

pub async fn create_user(
    common: &Common,
    email: Email,
    password: SecretString,
    role: Role,
    name: Option<Name>,
) -> anyhow::Result<()> {
    let password = NewPassword::try_from(password.expose_secret().to_owned())?;
    let name = match name {
        Some(name) => name,
        None => email.as_str().to_owned().try_into()?,
    };
    let db = pool(common)?;
    let user = users::create_user(&db, email, password, name, role).await?;
    println!("created the user {} with the role {}", user.id, serde_json::to_string(&role)?.trim_matches('"'));
    Ok(())
}
