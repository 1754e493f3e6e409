//! The requests of the load tests: which products are ordered and read, and by which users.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

use super::generator::{Random, RequestWriter};
use super::http::{self, Connection};
use crate::fill;

/// Enough that no customer becomes hot, and few enough that hashing their passwords takes seconds.
const BUYERS: usize = 16;

pub struct ProductSet {
    /// In ascending order. The last one is the hot product.
    pub ids: Arc<[Uuid]>,
}

/// Which products are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buying {
    /// Any two of 10,000.
    Spread,
    /// Every order has the same product and another one.
    Hot,
}

impl Buying {
    pub fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread over 10,000 products",
            Self::Hot => "all on one product",
        }
    }
}

impl ProductSet {
    /// Creates products and stock in a migrated database, and the tables of the minimal orders.
    pub async fn open(db: &PgPool) -> Result<Self> {
        sqlx::raw_sql(include_str!("products.sql")).execute(db).await?;
        sqlx::raw_sql(include_str!("minimal.sql")).execute(db).await?;
        let ids: Vec<Uuid> =
            sqlx::query_scalar("select id from products where sku like 'BENCH-%' order by id").fetch_all(db).await?;
        Ok(Self { ids: ids.into() })
    }

    /// Orders at the API, by these users.
    pub fn orders(&self, buying: Buying, tokens: &Arc<[String]>) -> RequestWriter {
        let (products, tokens) = (self.ids.clone(), tokens.clone());
        Arc::new(move |random, to| {
            let body = order(&products, buying, random, &format!(r#""payment_token":"tok_ok",{ADDRESS}"#));
            http::write(to, "/v1/orders", Some(&tokens[random.below(tokens.len())]), Some(&body));
        })
    }

    /// Minimal orders at one of the bare handlers.
    pub fn minimal_orders(&self, buying: Buying, path: &'static str) -> RequestWriter {
        let products = self.ids.clone();
        Arc::new(move |random, to| {
            let customer = products[random.below(BUYERS)];
            let body = order(&products, buying, random, &format!(r#""customer_id":"{customer}",{ADDRESS}"#));
            http::write(to, path, None, Some(&body));
        })
    }

    pub fn product(&self, root: &'static str) -> RequestWriter {
        let products = self.ids.clone();
        Arc::new(move |random, to| {
            http::write(to, &format!("{root}/products/{}", products[random.below(products.len())]), None, None);
        })
    }

    /// Reads the hot product.
    pub fn hot_product(&self, root: &'static str) -> RequestWriter {
        let path = format!("{root}/products/{}", self.ids[self.ids.len() - 1]);
        Arc::new(move |_, to| http::write(to, &path, None, None))
    }

    pub fn list(root: &'static str) -> RequestWriter {
        Arc::new(move |_, to| http::write(to, &format!("{root}/products?limit=20"), None, None))
    }
}

/// The first page of a customer's own orders.
pub fn own_orders(tokens: &Arc<[String]>) -> RequestWriter {
    let tokens = tokens.clone();
    Arc::new(move |random, to| {
        http::write(to, "/v1/orders?limit=20", Some(&tokens[random.below(tokens.len())]), None);
    })
}

/// Reads one of these orders.
pub fn any_order(orders: Arc<[Uuid]>, token: &str) -> RequestWriter {
    let token = token.to_owned();
    Arc::new(move |random, to| {
        http::write(to, &format!("/v1/orders/{}", orders[random.below(orders.len())]), Some(&token), None);
    })
}

const ADDRESS: &str =
    r#""shipping_address":{"name":"Bench","line1":"1 Mill Lane","city":"Bath","postal_code":"BA1 1AA","country":"GB"}"#;

fn order(products: &[Uuid], buying: Buying, random: &mut Random, rest: &str) -> String {
    let one = match buying {
        Buying::Spread => random.below(products.len()),
        Buying::Hot => products.len() - 1,
    };
    let other = (one + 1 + random.below(products.len() - 1)) % products.len();
    let (one, other) = (products[one], products[other]);
    format!(r#"{{"items":[{{"product_id":"{one}","quantity":1}},{{"product_id":"{other}","quantity":1}}],{rest}}}"#)
}

/// Registers and logs in the buyers, and returns their access tokens.
pub async fn buyers(api: SocketAddr) -> Result<Arc<[String]>> {
    let mut connection = Connection::open(api).await?;
    let mut tokens = Vec::new();
    for number in 0..BUYERS {
        let email = format!("buyer-{number}@bench.test");
        let account = json!({ "email": email, "password": fill::PASSWORD, "name": "Bench" });
        // 409: an earlier measurement registered this user.
        post(&mut connection, "/v1/auth/register", &account, &[201, 409]).await?;
        tokens.push(log_in(&mut connection, &email).await?);
    }
    Ok(tokens.into())
}

/// Creates a staff user, if there is none yet, and returns an access token.
pub async fn staff(api: SocketAddr, database_url: &str) -> Result<String> {
    fill::create_users(&database_url.into()).await?;
    log_in(&mut Connection::open(api).await?, fill::STAFF).await
}

pub async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(connection: &mut Connection<S>, email: &str) -> Result<String> {
    let login = json!({ "email": email, "password": fill::PASSWORD });
    let answer = post(connection, "/v1/auth/login", &login, &[200]).await?;
    Ok(answer["access_token"].as_str().unwrap_or_default().to_owned())
}

pub async fn post<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    path: &str,
    body: &Value,
    expected: &[u16],
) -> Result<Value> {
    let mut request = Vec::new();
    http::write(&mut request, path, None, Some(&body.to_string()));
    let answer = connection.ask(&request).await?;
    let text = String::from_utf8_lossy(answer.body).into_owned();
    ensure!(expected.contains(&answer.status), "{path} answered {}: {text}", answer.status);
    Ok(serde_json::from_str(&text)?)
}
