//! The buyers of a run. They place orders, send the same order twice at once, drop connections, repeat requests, read
//! and cancel orders.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::catalog::Catalog;
use crate::client::{Clients, Person, Request};
use crate::cluster::APIS;

/// Pause between two actions of a buyer, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 10..250;

/// A person who buys, or a program that buys for a customer with an API key.
pub struct Buyer {
    pub me: Person,
    pub name: String,
    pub customer_id: Option<String>,
}

/// Buys until `open` is false. Then repeats its last request until an API answers it.
pub async fn buy(clients: Arc<Clients>, catalog: Arc<Catalog>, buyer: Buyer, open: watch::Receiver<bool>) {
    let Buyer { mut me, name, customer_id } = buyer;
    let mut orders: Vec<Request> = Vec::new();
    while *open.borrow() {
        let old = (!orders.is_empty()).then(|| orders[me.rng.usize(..orders.len())].clone());
        match (me.rng.u32(..100), old) {
            (0..12, Some(old)) => drop(clients.ask(&mut me, &old).await),
            (12..24, Some(old)) => cancel(&clients, &mut me, &old).await,
            (24..34, Some(old)) => look(&clients, &mut me, &old).await,
            _ => {
                let key = format!("{name}-{}", orders.len());
                let mut order = order(&catalog, &mut me);
                if let Some(customer_id) = &customer_id {
                    order["customer_id"] = json!(customer_id);
                }
                let order = Request::post("/v1/orders", key, order);
                orders.push(order.clone());
                place(&clients, &mut me, &order).await;
            }
        }
        sleep(Duration::from_millis(me.rng.u64(PAUSE_MS))).await;
    }
}

/// An order for a few units of the hot product or of others, with a random payment token.
fn order(catalog: &Catalog, me: &mut Person) -> Value {
    let rng = &mut me.rng;
    let mut items = vec![match rng.u32(..100) {
        0..35 => json!({ "sku": catalog.hot, "quantity": rng.u32(1..4) }),
        _ => json!({ "sku": catalog.spread[rng.usize(..catalog.spread.len())], "quantity": rng.u32(1..6) }),
    }];
    for _ in 0..rng.usize(..3) {
        items.push(json!({ "sku": catalog.spread[rng.usize(..catalog.spread.len())], "quantity": rng.u32(1..4) }));
    }
    json!({ "items": items, "payment_token": token(me), "shipping_address": { "city": "Bath" } })
}

fn token(me: &mut Person) -> String {
    match me.rng.u32(..100) {
        0..55 => "tok_ok".to_owned(),
        55..65 => "tok_declined".to_owned(),
        65..75 => format!("tok_flaky_{}", me.rng.u32(1..4)),
        75..82 => "tok_timeout_charged".to_owned(),
        82..88 => "tok_timeout_lost".to_owned(),
        88..98 => format!("tok_slow_{}", me.rng.u32(10..2500)),
        _ => "tok_unavailable".to_owned(),
    }
}

async fn place(clients: &Clients, me: &mut Person, order: &Request) {
    match me.rng.u32(..100) {
        // The same request to two APIs at the same time.
        0..15 => {
            tokio::join!(clients.ask_once(0, me, order), clients.ask_once(1 % APIS, me, order));
        }
        // Drops the connection early. Half of these buyers repeat the request afterwards, and the others give up.
        15..25 => {
            let api = me.rng.usize(..APIS);
            let time = Duration::from_millis(me.rng.u64(1..80));
            drop(timeout(time, clients.ask_once(api, me, order)).await);
            if me.rng.bool() {
                let key = order.key.clone().unwrap_or_default();
                clients.history().orders.entry(key).or_default().given_up = true;
                return;
            }
        }
        _ => {}
    }
    clients.ask(me, order).await;
}

fn id_of(clients: &Clients, order: &Request) -> Option<String> {
    let history = clients.history();
    Some(history.orders.get(order.key.as_ref()?)?.placed.as_ref()?["id"].as_str()?.to_owned())
}

async fn cancel(clients: &Clients, me: &mut Person, order: &Request) {
    if let Some(id) = id_of(clients, order) {
        let key = format!("cancel-{id}");
        let cancel = Request::post(&format!("/v1/orders/{id}/cancel"), key, json!({ "reason": "changed my mind" }));
        clients.ask(me, &cancel).await;
    }
}

async fn look(clients: &Clients, me: &mut Person, order: &Request) {
    if let Some(id) = id_of(clients, order) {
        clients.ask(me, &Request::get(&format!("/v1/orders/{id}"))).await;
    }
}
