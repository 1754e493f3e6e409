//! Creates products, warehouses and stock for a test, through the functions of the domain.

use serde_json::json;
use shared::catalog::products;
use shared::inventory::{self, NewStock};
use shared::principal::Principal;
use shared::values::{ProductId, WarehouseId};
use shared::warehouses::{self, NewWarehouse};
use uuid::Uuid;

use crate::app::TestApp;

impl TestApp {
    /// A product with stock in the warehouse MAIN.
    pub async fn product(&self, sku: &str, price: i64, on_hand: i32) -> Uuid {
        let product = self.bare_product(sku, price).await;
        let warehouse = self.warehouse("MAIN", 1).await;
        self.stock(product, warehouse, on_hand).await;
        product
    }

    /// A product without stock.
    pub async fn bare_product(&self, sku: &str, price: i64) -> Uuid {
        let new = json!({ "sku": sku, "name": format!("A {sku}"), "price": { "amount": price, "currency": "USD" } });
        let new = serde_json::from_value(new).unwrap();
        let mut conn = self.db.acquire().await.unwrap();
        products::create(&mut conn, &Principal::system(), &new).await.unwrap().id.0
    }

    /// An active warehouse: a new one, or the existing one with this code.
    pub async fn warehouse(&self, code: &str, priority: i32) -> Uuid {
        let new = NewWarehouse {
            code: code.parse().unwrap(),
            name: code.parse().unwrap(),
            priority: Some(priority),
            active: Some(true),
        };
        let added = warehouses::add(&mut self.db.acquire().await.unwrap(), &[new]).await.unwrap();
        match added[..] {
            [id] => id.0,
            _ => sqlx::query_scalar("select id from warehouses where code = $1")
                .bind(code)
                .fetch_one(&self.db)
                .await
                .unwrap(),
        }
    }

    /// Adds a row of stock with this many units on hand.
    pub async fn stock(&self, product: Uuid, warehouse: Uuid, on_hand: i32) {
        let row = NewStock {
            product_id: ProductId(product),
            warehouse_id: WarehouseId(warehouse),
            on_hand: i64::from(on_hand).try_into().unwrap(),
            reorder_level: None,
            reorder_quantity: None,
        };
        inventory::open(&mut self.db.acquire().await.unwrap(), None, &[row]).await.unwrap();
    }

    /// The units of a product that are available.
    pub async fn available(&self, product: Uuid) -> i64 {
        let (on_hand, reserved) = self.shelf(product).await;
        on_hand - reserved
    }

    /// The units of a product that are on hand and that are reserved.
    pub async fn shelf(&self, product: Uuid) -> (i64, i64) {
        let sums = "select coalesce(sum(on_hand), 0), coalesce(sum(reserved), 0) from inventory where product_id = $1";
        sqlx::query_as(sums).bind(product).fetch_one(&self.db).await.unwrap()
    }

    /// The units of all products that are on hand and that are reserved.
    pub async fn shelves(&self) -> (i64, i64) {
        let sums = "select coalesce(sum(on_hand), 0), coalesce(sum(reserved), 0) from inventory";
        sqlx::query_as(sums).fetch_one(&self.db).await.unwrap()
    }
}
