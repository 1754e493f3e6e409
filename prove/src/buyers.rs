//! People who buy: they order, order twice at once, hang up in the middle, ask again, look, and change their minds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::client::{Clients, Person, Request};
use crate::cluster::APIS;
use crate::shop::Shop;

/// Between two things that one buyer does, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 10..250;

/// Buys until the shop closes, and then until everything that was begun is answered.
pub async fn buy(clients: Arc<Clients>, shop: Arc<Shop>, mut me: Person, name: String, open: watch::Receiver<bool>) {
    let mut orders: Vec<Request> = Vec::new();
    while *open.borrow() {
        let old = (!orders.is_empty()).then(|| orders[me.dice.usize(..orders.len())].clone());
        match (me.dice.u32(..100), old) {
            (0..12, Some(old)) => drop(clients.ask(&mut me, &old).await),
            (12..24, Some(old)) => cancel(&clients, &mut me, &old).await,
            (24..34, Some(old)) => look(&clients, &mut me, &old).await,
            _ => {
                let key = format!("{name}-{}", orders.len());
                let order = Request::post("/v1/orders", key, order(&shop, &mut me));
                orders.push(order.clone());
                place(&clients, &mut me, &order).await;
            }
        }
        sleep(Duration::from_millis(me.dice.u64(PAUSE_MS))).await;
    }
}

/// A few units of what sells out, or some of what does not; paid in every way there is.
fn order(shop: &Shop, me: &mut Person) -> Value {
    let dice = &mut me.dice;
    let mut items = vec![match dice.u32(..100) {
        0..35 => json!({ "sku": shop.hot, "quantity": dice.u32(1..4) }),
        _ => json!({ "sku": shop.spread[dice.usize(..shop.spread.len())], "quantity": dice.u32(1..6) }),
    }];
    for _ in 0..dice.usize(..3) {
        items.push(json!({ "sku": shop.spread[dice.usize(..shop.spread.len())], "quantity": dice.u32(1..4) }));
    }
    json!({ "items": items, "payment_token": token(me), "shipping_address": { "city": "Bath" } })
}

fn token(me: &mut Person) -> String {
    match me.dice.u32(..100) {
        0..55 => "tok_ok".to_owned(),
        55..65 => "tok_declined".to_owned(),
        65..75 => format!("tok_flaky_{}", me.dice.u32(1..4)),
        75..82 => "tok_timeout_charged".to_owned(),
        82..88 => "tok_timeout_lost".to_owned(),
        88..98 => format!("tok_slow_{}", me.dice.u32(10..2500)),
        _ => "tok_unavailable".to_owned(),
    }
}

async fn place(clients: &Clients, me: &mut Person, order: &Request) {
    match me.dice.u32(..100) {
        // Twice at the same time, at two APIs.
        0..15 => {
            tokio::join!(clients.ask_once(0, me, order), clients.ask_once(1 % APIS, me, order));
        }
        // Hangs up in the middle; some come back and ask what became of it, and some do not.
        15..25 => {
            let api = me.dice.usize(..APIS);
            let time = Duration::from_millis(me.dice.u64(1..80));
            drop(timeout(time, clients.ask_once(api, me, order)).await);
            if me.dice.bool() {
                let key = order.key.clone().unwrap_or_default();
                clients.memory().orders.entry(key).or_default().given_up = true;
                return;
            }
        }
        _ => {}
    }
    clients.ask(me, order).await;
}

fn id_of(clients: &Clients, order: &Request) -> Option<String> {
    let memory = clients.memory();
    Some(memory.orders.get(order.key.as_ref()?)?.placed.as_ref()?["id"].as_str()?.to_owned())
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
