//! The products, warehouses and stock of a run, made through the API.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Clients, Person, Request};

/// Few units for many buyers: the product sells out, staff add a few, and it sells out again.
const HOT_UNITS: i64 = 60;
/// More than any run sells.
const SPREAD_UNITS: i64 = 100_000;
const SPREAD: usize = 20;

pub struct Catalog {
    pub hot: String,
    pub spread: Vec<String>,
    /// Buyers do not order it. Staff count and reserve it.
    pub counted: Uuid,
    pub warehouses: Vec<(String, Uuid)>,
    pub stock: Vec<StockRow>,
}

#[derive(Clone, Copy)]
pub struct StockRow {
    pub inventory: Uuid,
    pub product: Uuid,
    pub warehouse: Uuid,
    pub hot: bool,
}

fn id_in(body: &Value) -> Result<Uuid> {
    Ok(body["id"].as_str().context("the answer has no id")?.parse()?)
}

impl Catalog {
    /// Creates everything. Each product has stock in two warehouses, so that some orders are split.
    pub async fn open(clients: &Clients, staff: &mut Person) -> Result<Self> {
        let mut warehouses = Vec::new();
        for (code, priority) in [("EAST", 1), ("WEST", 2)] {
            let made = json!({ "code": code, "name": code, "priority": priority });
            let made = clients.done(staff, &Request::post("/v1/warehouses", format!("warehouse-{code}"), made)).await?;
            warehouses.push((code.to_owned(), id_in(&made)?));
        }
        let mut catalog =
            Self { hot: "HOT".to_owned(), spread: Vec::new(), counted: Uuid::nil(), warehouses, stock: Vec::new() };
        catalog.product(clients, staff, "HOT", HOT_UNITS).await?;
        catalog.counted = catalog.product(clients, staff, "COUNTED", HOT_UNITS).await?;
        for number in 0..SPREAD {
            let sku = format!("SPREAD-{number}");
            catalog.product(clients, staff, &sku, SPREAD_UNITS).await?;
            catalog.spread.push(sku);
        }
        Ok(catalog)
    }

    async fn product(&mut self, clients: &Clients, staff: &mut Person, sku: &str, units: i64) -> Result<Uuid> {
        let price = json!({ "amount": staff.rng.i64(100..10_000), "currency": "USD" });
        let product = json!({ "sku": sku, "name": format!("Product {sku}"), "price": price });
        let product = clients.done(staff, &Request::post("/v1/products", format!("product-{sku}"), product)).await?;
        let product = id_in(&product)?;
        for (code, warehouse) in &self.warehouses {
            let row = json!({ "product_id": product, "warehouse_id": warehouse, "on_hand": units });
            let row = clients.done(staff, &Request::post("/v1/inventory", format!("stock-{sku}-{code}"), row)).await?;
            clients.history().stock.insert((product, *warehouse), units);
            let inventory = id_in(&row)?;
            self.stock.push(StockRow { inventory, product, warehouse: *warehouse, hot: sku == "HOT" });
        }
        Ok(product)
    }
}
