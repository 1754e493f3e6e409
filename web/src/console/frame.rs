//! What stands around every console page.

use std::collections::BTreeMap;

use shared::error::Result;
use shared::page::{MAX_LIMIT, Page};
use shared::principal::Role;
use shared::warehouses;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::page::console::{ConsoleFrame, Screen};
use crate::visit::Visit;

/// The screens that are served.
const SCREENS: &[Screen] = &[Screen::Orders, Screen::Jobs, Screen::Queues, Screen::Workers, Screen::Activity];

pub fn frame(visit: &Visit) -> Result<ConsoleFrame> {
    let person = visit.person()?;
    Ok(ConsoleFrame {
        reader: visit.reader,
        user: person.name.as_str().to_owned(),
        admin: person.role == Role::Admin,
        screens: SCREENS,
        environment: String::new(),
        live: None,
        searches: false,
        waiting: None,
        banners: Vec::new(),
        flash: visit.done().map(|done| done.flash()),
        search: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Names of the warehouses by their ids.
pub async fn warehouse_names(conn: &mut PgConnection) -> Result<BTreeMap<Uuid, String>> {
    let all = warehouses::list(conn, &Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    Ok(all.into_iter().map(|one| (one.id.0, one.name.as_str().to_owned())).collect())
}
