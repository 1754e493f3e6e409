//! The staff of a run. They adjust and count stock, reserve, release and ship by hand, set the status of orders, and
//! retry dead jobs.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::catalog::{Catalog, StockRow};
use crate::client::{Clients, Person, Request};

/// Pause between two actions, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 50..600;

/// Works until `open` is false.
pub async fn work(clients: Arc<Clients>, catalog: Arc<Catalog>, mut me: Person, open: watch::Receiver<bool>) {
    let mut turn = 0;
    while *open.borrow() {
        turn += 1;
        let key = format!("staff-{turn}");
        match me.rng.u32(..100) {
            0..40 => adjust(&clients, &catalog, &mut me, key).await,
            40..60 => reserve(&clients, &catalog, &mut me, key).await,
            60..70 => count(&clients, &catalog, &mut me, key).await,
            70..85 => set_status(&clients, &mut me).await,
            _ => {
                let retry = Request::post("/v1/ops/jobs/retry", key, json!({ "limit": 20 }));
                clients.ask(&mut me, &retry).await;
            }
        }
        sleep(Duration::from_millis(me.rng.u64(PAUSE_MS))).await;
    }
}

/// Receives more of the hot product. Of the others a few units are damaged or returned.
async fn adjust(clients: &Clients, catalog: &Catalog, me: &mut Person, key: String) {
    let sold: Vec<&StockRow> = catalog.stock.iter().filter(|stock| stock.product != catalog.counted).collect();
    let stock = sold[if me.rng.bool() { me.rng.usize(..2) } else { me.rng.usize(..sold.len()) }];
    let (delta, reason) = match me.rng.u32(..3) {
        0 => (-me.rng.i64(1..4), "damaged"),
        _ if stock.hot => (me.rng.i64(5..30), "received"),
        _ => (me.rng.i64(1..4), "returned"),
    };
    let path = format!("/v1/inventory/{}/adjustments", stock.inventory);
    let asked = Request::post(&path, key, json!({ "delta": delta, "reason": reason }));
    if clients.ask(me, &asked).await.is_some_and(|reply| reply.status == 201) {
        *clients.history().stock.entry((stock.product, stock.warehouse)).or_default() += delta;
    }
}

/// Reserves some units, and then ships or releases them, or leaves the reservation to expire.
async fn reserve(clients: &Clients, catalog: &Catalog, me: &mut Person, key: String) {
    let stock = catalog.stock[me.rng.usize(..catalog.stock.len())];
    let units = me.rng.i64(1..5);
    let line = json!({ "product_id": stock.product, "warehouse_id": stock.warehouse, "quantity": units });
    let asked = Request::post("/v1/inventory/reserve", key.clone(), json!({ "items": [line], "ttl_seconds": 5 }));
    let Some(held) = clients.ask(me, &asked).await.filter(|reply| reply.status == 201) else { return };
    let then = ["ship", "release", "forget"][me.rng.usize(..3)];
    if then == "forget" {
        return;
    }
    let which = json!({ "reservation_id": held.body["id"] });
    let asked = Request::post(&format!("/v1/inventory/{then}"), format!("{key}-{then}"), which);
    if clients.ask(me, &asked).await.is_some_and(|reply| reply.status == 200) && then == "ship" {
        *clients.history().stock.entry((stock.product, stock.warehouse)).or_default() -= units;
    }
}

/// Counts a product that nobody buys. So the counted units are what must be there at the end.
async fn count(clients: &Clients, catalog: &Catalog, me: &mut Person, key: String) {
    let (code, warehouse) = &catalog.warehouses[me.rng.usize(..catalog.warehouses.len())];
    let units = me.rng.i64(50..100);
    let row = json!({ "product_id": catalog.counted, "warehouse": code, "quantity": units });
    let asked = Request::post("/v1/inventory/bulk", key, json!({ "items": [row] }));
    if clients.ask(me, &asked).await.is_some_and(|reply| reply.status == 200) {
        clients.history().stock.insert((catalog.counted, *warehouse), units);
    }
}

/// Sets the status of a random order. Workers have already moved most orders, so most of these requests are refused.
async fn set_status(clients: &Clients, me: &mut Person) {
    let order = {
        let history = clients.history();
        let orders: Vec<&str> = history.placed().filter_map(|(_, order)| order["id"].as_str()).collect();
        let last = orders.len().saturating_sub(1);
        orders.get(me.rng.usize(..=last)).map(|id| (*id).to_owned())
    };
    let Some(id) = order else { return };
    let to = ["processing", "paid", "shipped", "delivered", "cancelled"][me.rng.usize(..5)];
    let path = format!("/v1/orders/{id}/status");
    clients.ask(me, &Request { method: Method::PATCH, path, key: None, body: json!({ "status": to }) }).await;
}
