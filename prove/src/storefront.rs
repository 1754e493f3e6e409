//! A storefront among the clients: a program with an API key. It orders for a customer, as buyers do for themselves, and
//! reads the feed.

use anyhow::{Context, Result};
use serde_json::json;

use crate::buyers::Buyer;
use crate::client::{Clients, Person, Request};
use crate::cluster::ADMIN;

/// No buyer has this number for the random choices.
const NUMBER: u64 = 1_000;

pub async fn open(clients: &Clients, staff: &mut Person, seed: u64) -> Result<Buyer> {
    let mut admin = clients.log_in(ADMIN, seed.wrapping_add(NUMBER)).await?;
    let account = Request::post("/v1/service-accounts", "account".to_owned(), json!({ "name": "Storefront" }));
    let account = clients.done(&mut admin, &account).await?;
    let keys = format!("/v1/service-accounts/{}/keys", account["id"].as_str().context("an account has an id")?);
    let asked = json!({ "name": "prove", "scopes": ["orders:write", "orders:cancel", "events:read"] });
    let made = clients.done(&mut admin, &Request::post(&keys, "key".to_owned(), asked)).await?;
    let customer = json!({ "email": "somebody@prove.test", "name": "Somebody" });
    let customer = clients.done(staff, &Request::post("/v1/customers", "customer".to_owned(), customer)).await?;
    Ok(Buyer {
        me: Person { token: made["key"].as_str().context("a new key is shown")?.to_owned(), ..admin },
        name: "storefront".to_owned(),
        customer_id: customer["id"].as_str().map(ToOwned::to_owned),
    })
}
