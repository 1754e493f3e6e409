//! The schema of a shop. A database can hold several shops, each in a schema that its `DATABASE_URL` names first in
//! `search_path`. Writes no table.

use std::io;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Error, PgConnection};

/// The schema that `?options[search_path]=shop_7,public` names. None: the shop is where Postgres puts it, in `public`.
pub fn named(server: &PgConnectOptions) -> Option<String> {
    let options = server.get_options()?.replace('\\', "");
    let (_, path) = options.split_once("search_path=")?;
    let first = path.split([',', ' ']).next()?.trim_matches('"');
    (!["", "$user"].contains(&first)).then(|| first.to_owned())
}

/// Refuses a connection that does not use the schema that the URL names. Otherwise Postgres would use the next schema of the
/// path, and two shops would share the tables of a third.
pub async fn check(conn: &mut PgConnection, named: &str) -> Result<(), Error> {
    let current: Option<String> =
        sqlx::query_scalar("select current_schema()::text").persistent(false).fetch_one(conn).await?;
    if current.as_deref() == Some(named) {
        return Ok(());
    }
    Err(Error::Io(io::Error::other(format!(
        "DATABASE_URL names the schema {named}, and the connection does not use it. If the schema does not exist, \
         `millrace-api migrate` makes it; if a pooler is in between, it forgets the schema: docs/scaling.md, \"Several shops\""
    ))))
}

/// A name as SQL contains it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_schema_of_the_path_is_the_shops() {
        for (url, schema) in [
            ("postgres://one/shop", None),
            ("postgres://one/shop?options[search_path]=shop_7,public", Some("shop_7")),
            ("postgres://one/shop?options[search_path]=shop_7", Some("shop_7")),
            ("postgres://one/shop?options[search_path]=shop_7,%20public&options[jit]=off", Some("shop_7")),
            ("postgres://one/shop?options=-c%20search_path=shop_7,public%20-c%20jit=off", Some("shop_7")),
            ("postgres://one/shop?options[search_path]=%22Shop%22,public", Some("Shop")),
            ("postgres://one/shop?options[search_path]=%22$user%22,public", None),
            ("postgres://one/shop?options[jit]=off", None),
        ] {
            assert_eq!(named(&url.parse().unwrap()).as_deref(), schema, "{url}");
        }
    }
}
