//! What there is to buy, and the staff who keep it: they adjust and count stock, reserve, release and ship by
//! hand, move orders along, and look after what failed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use crate::client::{Clients, Person, Request};

/// Many buyers, few units: it sells out, is restocked by a handful, and sells out again.
const HOT_UNITS: i64 = 60;
/// Enough for any run.
const SPREAD_UNITS: i64 = 100_000;
const SPREAD: usize = 20;
/// Between two things that staff does, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 50..600;

pub struct Shop {
    pub hot: String,
    pub spread: Vec<String>,
    /// Only ever counted and reserved by hand.
    counted: Uuid,
    warehouses: Vec<(String, Uuid)>,
    stock: Vec<Stock>,
}

#[derive(Clone, Copy)]
struct Stock {
    inventory: Uuid,
    product: Uuid,
    warehouse: Uuid,
    hot: bool,
}

fn id_in(body: &Value) -> Result<Uuid> {
    Ok(body["id"].as_str().context("it has no id")?.parse()?)
}

impl Shop {
    /// Fills the shelves: the hot product in two warehouses, so that some orders are split.
    pub async fn open(clients: &Clients, staff: &mut Person) -> Result<Self> {
        let mut warehouses = Vec::new();
        for (code, priority) in [("EAST", 1), ("WEST", 2)] {
            let made = json!({ "code": code, "name": code, "priority": priority });
            let made = clients.done(staff, &Request::post("/v1/warehouses", format!("warehouse-{code}"), made)).await?;
            warehouses.push((code.to_owned(), id_in(&made)?));
        }
        let mut shop =
            Self { hot: "HOT".to_owned(), spread: Vec::new(), counted: Uuid::nil(), warehouses, stock: Vec::new() };
        shop.product(clients, staff, "HOT", HOT_UNITS).await?;
        shop.counted = shop.product(clients, staff, "COUNTED", HOT_UNITS).await?;
        for number in 0..SPREAD {
            let sku = format!("SPREAD-{number}");
            shop.product(clients, staff, &sku, SPREAD_UNITS).await?;
            shop.spread.push(sku);
        }
        Ok(shop)
    }

    async fn product(&mut self, clients: &Clients, staff: &mut Person, sku: &str, units: i64) -> Result<Uuid> {
        let price = json!({ "amount": staff.dice.i64(100..10_000), "currency": "USD" });
        let product = json!({ "sku": sku, "name": format!("Product {sku}"), "price": price });
        let product = clients.done(staff, &Request::post("/v1/products", format!("product-{sku}"), product)).await?;
        let product = id_in(&product)?;
        for (code, warehouse) in &self.warehouses {
            let row = json!({ "product_id": product, "warehouse_id": warehouse, "on_hand": units });
            let row = clients.done(staff, &Request::post("/v1/inventory", format!("stock-{sku}-{code}"), row)).await?;
            clients.memory().stock.insert((product, *warehouse), units);
            let inventory = id_in(&row)?;
            self.stock.push(Stock { inventory, product, warehouse: *warehouse, hot: sku == "HOT" });
        }
        Ok(product)
    }
}

/// Works until the shop closes.
pub async fn keep(clients: Arc<Clients>, shop: Arc<Shop>, mut me: Person, open: watch::Receiver<bool>) {
    let mut turn = 0;
    while *open.borrow() {
        turn += 1;
        let key = format!("staff-{turn}");
        match me.dice.u32(..100) {
            0..40 => adjust(&clients, &shop, &mut me, key).await,
            40..60 => reserve(&clients, &shop, &mut me, key).await,
            60..70 => count(&clients, &shop, &mut me, key).await,
            70..85 => move_by_hand(&clients, &mut me).await,
            _ => {
                let retry = Request::post("/v1/ops/jobs/retry", key, json!({ "limit": 20 }));
                clients.ask(&mut me, &retry).await;
            }
        }
        sleep(Duration::from_millis(me.dice.u64(PAUSE_MS))).await;
    }
}

/// What sells out gets a few more; of the rest something breaks or is found.
async fn adjust(clients: &Clients, shop: &Shop, me: &mut Person, key: String) {
    let sold: Vec<&Stock> = shop.stock.iter().filter(|stock| stock.product != shop.counted).collect();
    let stock = sold[if me.dice.bool() { me.dice.usize(..2) } else { me.dice.usize(..sold.len()) }];
    let (delta, reason) = match me.dice.u32(..3) {
        0 => (-me.dice.i64(1..4), "damaged"),
        _ if stock.hot => (me.dice.i64(5..30), "received"),
        _ => (me.dice.i64(1..4), "returned"),
    };
    let path = format!("/v1/inventory/{}/adjustments", stock.inventory);
    let asked = Request::post(&path, key, json!({ "delta": delta, "reason": reason }));
    if clients.ask(me, &asked).await.is_some_and(|reply| reply.status == 201) {
        *clients.memory().stock.entry((stock.product, stock.warehouse)).or_default() += delta;
    }
}

/// Holds some by hand, and then ships it, gives it back, or forgets it until it expires.
async fn reserve(clients: &Clients, shop: &Shop, me: &mut Person, key: String) {
    let stock = shop.stock[me.dice.usize(..shop.stock.len())];
    let units = me.dice.i64(1..5);
    let line = json!({ "product_id": stock.product, "warehouse_id": stock.warehouse, "quantity": units });
    let asked = Request::post("/v1/inventory/reserve", key.clone(), json!({ "items": [line], "ttl_seconds": 5 }));
    let Some(held) = clients.ask(me, &asked).await.filter(|reply| reply.status == 201) else { return };
    let then = ["ship", "release", "forget"][me.dice.usize(..3)];
    if then == "forget" {
        return;
    }
    let which = json!({ "reservation_id": held.body["id"] });
    let asked = Request::post(&format!("/v1/inventory/{then}"), format!("{key}-{then}"), which);
    if clients.ask(me, &asked).await.is_some_and(|reply| reply.status == 200) && then == "ship" {
        *clients.memory().stock.entry((stock.product, stock.warehouse)).or_default() -= units;
    }
}

/// Counts a product that nobody buys: then the count is what is there.
async fn count(clients: &Clients, shop: &Shop, me: &mut Person, key: String) {
    let (code, warehouse) = &shop.warehouses[me.dice.usize(..shop.warehouses.len())];
    let units = me.dice.i64(50..100);
    let row = json!({ "product_id": shop.counted, "warehouse": code, "quantity": units });
    let asked = Request::post("/v1/inventory/bulk", key, json!({ "items": [row] }));
    if clients.ask(me, &asked).await.is_some_and(|reply| reply.status == 200) {
        clients.memory().stock.insert((shop.counted, *warehouse), units);
    }
}

/// Moves some order along or away. Most of them have gone on by themselves: that is a refusal, and fine.
async fn move_by_hand(clients: &Clients, me: &mut Person) {
    let order = {
        let memory = clients.memory();
        let orders: Vec<&str> = memory.placed().filter_map(|(_, order)| order["id"].as_str()).collect();
        let last = orders.len().saturating_sub(1);
        orders.get(me.dice.usize(..=last)).map(|id| (*id).to_owned())
    };
    let Some(id) = order else { return };
    let to = ["processing", "paid", "shipped", "delivered", "cancelled"][me.dice.usize(..5)];
    let path = format!("/v1/orders/{id}/status");
    clients.ask(me, &Request { method: Method::PATCH, path, key: None, body: json!({ "status": to }) }).await;
}
