//! The routes of `/v1/inventory`.

mod adjust;
mod bulk;
mod movements;
mod past;
mod reaper;
mod reservations;
mod stock;

use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::person::{Person, Reply};
use uuid::Uuid;

/// What most tests here need: a staff user and two warehouses.
pub struct Shelves<'a> {
    pub app: &'a TestApp,
    pub staff: Person<'a>,
    pub east: String,
    pub west: String,
}

impl<'a> Shelves<'a> {
    /// EAST has priority over WEST.
    pub async fn on(app: &'a TestApp) -> Self {
        let staff = app.staff().await;
        let west =
            staff.post("/v1/warehouses", json!({ "code": "WEST", "name": "West", "priority": 2 })).await.done(201);
        let east =
            staff.post("/v1/warehouses", json!({ "code": "EAST", "name": "East", "priority": 1 })).await.done(201);
        Self { app, staff, east: east.id().to_owned(), west: west.id().to_owned() }
    }

    pub async fn product(&self, sku: &str) -> String {
        let body = json!({ "sku": sku, "name": sku, "price": { "amount": 1200, "currency": "USD" } });
        self.staff.post("/v1/products", body).await.done(201).id().to_owned()
    }

    pub async fn stock(&self, product: &str, warehouse: &str, on_hand: i64) -> String {
        let body = json!({ "product_id": product, "warehouse_id": warehouse, "on_hand": on_hand });
        self.staff.post("/v1/inventory", body).await.done(201).id().to_owned()
    }

    /// A product and its row of stock in EAST.
    pub async fn stocked(&self, sku: &str, on_hand: i64) -> (String, String) {
        let product = self.product(sku).await;
        let stock = self.stock(&product, &self.east, on_hand).await;
        (product, stock)
    }

    pub async fn reserve(&self, items: Value) -> Reply {
        self.staff.post("/v1/inventory/reserve", json!({ "items": items })).await
    }

    pub async fn one(&self, stock: &str) -> Value {
        self.staff.get(&format!("/v1/inventory/{stock}")).await.done(200).body
    }

    /// (on hand, reserved, available)
    pub async fn level(&self, stock: &str) -> (i64, i64, i64) {
        let row = self.one(stock).await;
        let number = |name: &str| row[name].as_i64().unwrap();
        (number("on_hand"), number("reserved"), number("available"))
    }

    pub async fn movements(&self) -> i64 {
        sqlx::query_scalar("select count(*) from stock_movements").fetch_one(&self.app.db).await.unwrap()
    }

    pub async fn state_of(&self, reservation: &str) -> String {
        let reply = self.staff.get(&format!("/v1/inventory/reservations/{reservation}")).await.done(200);
        reply.body["state"].as_str().unwrap().to_owned()
    }

    pub async fn let_expire(&self, reservation: &str) {
        let sql = "update reservations set expires_at = clock_timestamp() - interval '1 ms' where id = $1::uuid";
        sqlx::query(sql).bind(reservation).execute(&self.app.db).await.unwrap();
    }

    /// Makes a reservation belong to an order in this status.
    pub async fn give_to_order(&self, reservation: &str, status: &str) -> Uuid {
        let order = Uuid::now_v7();
        sqlx::query(
            "with c as (insert into customers (email, name) values ('a@example.com', 'A') returning id),
                  o as (insert into orders (id, customer_id, placed_by, status, currency, total_minor, shipping_address)
                        select $1, c.id, $2, $3, 'USD', 1200, '{}' from c returning id),
                  e as (insert into order_events (order_id, sequence, type) values ($1, 1, 'placed'))
             update reservations set order_id = $1 where id = $4::uuid",
        )
        .bind(order)
        .bind(self.staff.id)
        .bind(status)
        .bind(reservation)
        .execute(&self.app.db)
        .await
        .unwrap();
        order
    }

    pub async fn reap(&self) -> i64 {
        let reply = self.staff.post("/v1/inventory/reaper", json!({})).await.done(200);
        reply.body["released_reservations"].as_i64().unwrap()
    }
}

pub fn fields(reply: &Reply) -> Vec<(&str, &str)> {
    let errors = reply.body["errors"].as_array().unwrap();
    errors.iter().map(|error| (error["field"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

pub fn ids(reply: &Reply) -> Vec<&str> {
    reply.body["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}
