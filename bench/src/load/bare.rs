//! The baseline of the load tests: bare axum handlers that place one order per transaction, by several statements or by
//! one call of a stored function, and one that reads products with one query.
//!
//! They are written with care, and do nothing else: prepared statements, lines as arrays, stock locked in one order, a
//! pool of 20 connections. They have no accounts, validation, logs or metrics. They run as a process of their own.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Serves until it is killed. Prints its address as our own binaries do.
pub async fn serve(url: &SecretString) -> Result<()> {
    // `test_before_acquire` would cost one more round trip for each use.
    let options = PgPoolOptions::new().max_connections(20).min_connections(20).test_before_acquire(false);
    let db = options.connect(url.expose_secret()).await.context("DATABASE_URL")?;
    let routes = Router::new()
        .route("/orders", post(place))
        .route("/function/orders", post(place_by_function))
        .route("/products/{id}", get(product))
        .route("/products", get(products))
        .with_state(db);
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{}", json!({ "addr": listener.local_addr()? }));
    axum::serve(listener, routes).await?;
    Ok(())
}

#[derive(Deserialize)]
struct Order {
    customer_id: Uuid,
    items: Vec<Item>,
    shipping_address: Value,
}

#[derive(Deserialize)]
struct Item {
    product_id: Uuid,
    quantity: i32,
}

async fn place(State(db): State<PgPool>, Json(order): Json<Order>) -> Result<(StatusCode, Json<Value>), StatusCode> {
    try_place(&db, order).await.map_err(|error| {
        eprintln!("bare: {error}");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

/// One round trip and one commit.
async fn place_by_function(
    State(db): State<PgPool>,
    Json(order): Json<Order>,
) -> Result<(StatusCode, Json<Value>), StatusCode> {
    let (ids, quantities): (Vec<Uuid>, Vec<i32>) =
        order.items.iter().map(|item| (item.product_id, item.quantity)).unzip();
    let placed = sqlx::query_scalar("select minimal.place($1, $2, $3, $4)")
        .bind(order.customer_id)
        .bind(ids)
        .bind(quantities)
        .bind(order.shipping_address)
        .fetch_one(&db)
        .await;
    match placed {
        Ok(answer) => Ok((StatusCode::CREATED, Json(answer))),
        Err(sqlx::Error::Database(error)) if error.is_check_violation() => {
            Ok((StatusCode::CONFLICT, Json(json!({ "code": "insufficient_stock" }))))
        }
        Err(error) => {
            eprintln!("bare: {error}");
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

async fn try_place(db: &PgPool, order: Order) -> sqlx::Result<(StatusCode, Json<Value>)> {
    let ids: Vec<Uuid> = order.items.iter().map(|item| item.product_id).collect();
    let quantities: Vec<i32> = order.items.iter().map(|item| item.quantity).collect();
    let mut tx = db.begin().await?;
    let stock = lock_stock(&mut tx, &ids).await?;
    if order.items.iter().any(|item| stock.get(&item.product_id).is_none_or(|available| *available < item.quantity)) {
        return Ok((StatusCode::CONFLICT, Json(json!({ "code": "insufficient_stock" }))));
    }
    let products = read_products(&mut tx, &ids).await?;
    let lines = Lines::new(&order, &products);
    take_stock(&mut tx, &ids, &quantities).await?;
    let id = insert_order(&mut tx, &order, lines.total).await?;
    insert_lines(&mut tx, id, &ids, &quantities, &lines).await?;
    insert_event_and_job(&mut tx, id, lines.total).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(lines.answer(id, &order))))
}

/// Units available of each product, locked in the order of the ids.
async fn lock_stock(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<HashMap<Uuid, i32>> {
    let stock: Vec<(Uuid, i32)> = sqlx::query_as(
        "select product_id, available from minimal.stock where product_id = any($1) order by product_id for update",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(stock.into_iter().collect())
}

/// SKU, name and price of each product.
async fn read_products(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<HashMap<Uuid, (String, String, i64)>> {
    let found: Vec<(Uuid, String, String, i64)> =
        sqlx::query_as("select id, sku, name, price_minor from minimal.products where id = any($1)")
            .bind(ids)
            .fetch_all(conn)
            .await?;
    Ok(found.into_iter().map(|(id, sku, name, price)| (id, (sku, name, price))).collect())
}

/// The product columns of an order's lines, as arrays for the insert.
#[derive(Default)]
struct Lines {
    skus: Vec<String>,
    names: Vec<String>,
    prices: Vec<i64>,
    total: i64,
}

impl Lines {
    fn new(order: &Order, products: &HashMap<Uuid, (String, String, i64)>) -> Self {
        let mut lines = Self::default();
        for item in &order.items {
            let (sku, name, price) = &products[&item.product_id];
            lines.skus.push(sku.clone());
            lines.names.push(name.clone());
            lines.prices.push(*price);
            lines.total += price * i64::from(item.quantity);
        }
        lines
    }

    fn answer(&self, id: Uuid, order: &Order) -> Value {
        let item = |(item, (sku, price)): (&Item, (&String, &i64))| json!({ "product_id": item.product_id, "sku": sku, "quantity": item.quantity, "unit_price": price });
        let items: Vec<Value> = order.items.iter().zip(self.skus.iter().zip(&self.prices)).map(item).collect();
        json!({ "id": id, "status": "pending", "items": items, "total": self.total })
    }
}

async fn take_stock(conn: &mut PgConnection, ids: &[Uuid], quantities: &[i32]) -> sqlx::Result<()> {
    let update = "update minimal.stock s set available = s.available - t.quantity
                    from unnest($1::uuid[], $2::int[]) t (id, quantity) where s.product_id = t.id";
    sqlx::query(update).bind(ids).bind(quantities).execute(conn).await.map(drop)
}

async fn insert_order(conn: &mut PgConnection, order: &Order, total: i64) -> sqlx::Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query("insert into minimal.orders (id, customer_id, total_minor, shipping_address) values ($1, $2, $3, $4)")
        .bind(id)
        .bind(order.customer_id)
        .bind(total)
        .bind(&order.shipping_address)
        .execute(conn)
        .await?;
    Ok(id)
}

async fn insert_lines(
    conn: &mut PgConnection,
    order: Uuid,
    ids: &[Uuid],
    quantities: &[i32],
    lines: &Lines,
) -> sqlx::Result<()> {
    let insert = "insert into minimal.order_items (order_id, line, product_id, sku, name, quantity, unit_price_minor)
         select $1, line, product, sku, name, quantity, price
           from unnest($2::uuid[], $3::text[], $4::text[], $5::int[], $6::bigint[])
                with ordinality t (product, sku, name, quantity, price, line)";
    let insert = sqlx::query(insert).bind(order).bind(ids).bind(&lines.skus).bind(&lines.names);
    insert.bind(quantities).bind(&lines.prices).execute(conn).await.map(drop)
}

async fn insert_event_and_job(conn: &mut PgConnection, order: Uuid, total: i64) -> sqlx::Result<()> {
    sqlx::query("insert into minimal.order_events (order_id, sequence, type, data) values ($1, 1, 'placed', $2)")
        .bind(order)
        .bind(json!({ "total": total }))
        .execute(&mut *conn)
        .await?;
    sqlx::query("insert into minimal.jobs (id, kind, args) values ($1, 'process_payment', $2)")
        .bind(Uuid::now_v7())
        .bind(json!({ "order_id": order }))
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow, serde::Serialize)]
struct Product {
    id: Uuid,
    sku: String,
    name: String,
    description: String,
    price_minor: i64,
    currency: String,
    active: bool,
    available: i64,
}

const PRODUCT: &str = "select p.id, p.sku, p.name, p.description, p.price_minor, p.currency, p.active,
        (select coalesce(sum(i.on_hand - i.reserved), 0)
           from inventory i join warehouses w on w.id = i.warehouse_id
          where i.product_id = p.id and w.active) as available
   from products p";

async fn product(State(db): State<PgPool>, Path(id): Path<Uuid>) -> Result<Json<Product>, StatusCode> {
    let sql = sqlx::AssertSqlSafe(format!("{PRODUCT} where p.id = $1"));
    let found = sqlx::query_as(sql).bind(id).fetch_optional(&db).await;
    found.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn products(State(db): State<PgPool>) -> Result<Json<Vec<Product>>, StatusCode> {
    let sql = sqlx::AssertSqlSafe(format!("{PRODUCT} where p.active order by p.id desc limit 20"));
    sqlx::query_as(sql).fetch_all(&db).await.map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
