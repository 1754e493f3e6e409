//! Honest clients: each has an account and an address, and places an order each second.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_rustls::client::TlsStream;

use super::tls::Target;
use crate::fill;
use crate::load::generator::{Random, RequestWriter};
use crate::load::http::Connection;
use crate::load::requests::{self, Buying, ProductSet};

/// How many there are.
pub const CLIENTS: usize = 50;

/// How often each of them places an order.
const EACH: Duration = Duration::from_secs(1);

/// The API gives up on a request after 10 s, so a client that waits longer was forgotten.
const PATIENCE: Duration = Duration::from_secs(15);

/// A client with an account.
#[derive(Clone)]
pub struct Client {
    number: usize,
    target: Target,
    order: RequestWriter,
}

/// What the clients met in one phase.
#[derive(Debug, Default)]
pub struct Met {
    waits_us: Vec<u32>,
    /// By what was answered, or why nothing was.
    pub refused: BTreeMap<String, u64>,
}

impl Met {
    pub fn placed(&self) -> usize {
        self.waits_us.len()
    }

    /// In milliseconds, so many hundredths of the orders were faster.
    pub fn percentile(&self, share: usize) -> f64 {
        self.waits_us.get(self.waits_us.len() * share / 100).map_or(0.0, |us| f64::from(*us) / 1000.0)
    }
}

/// Makes the accounts, each from the address of its client.
pub async fn sign_up(target: &Target, products: &ProductSet) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut connection = Connection::on(target.http1(address(number)).await?);
        let email = format!("honest-{number}@bench.test");
        let account = json!({ "email": email, "password": fill::PASSWORD, "name": "Honest" });
        requests::post(&mut connection, "/v1/auth/register", &account, &[201]).await?;
        let tokens: Arc<[String]> = Arc::new([requests::log_in(&mut connection, &email).await?]);
        let order = products.orders(Buying::Spread, &tokens);
        clients.push(Client { number, target: target.clone(), order });
    }
    Ok(clients)
}

/// Lets them place orders for this time, on a thread of its own: an attack must not slow down how we measure it.
pub async fn place_orders(clients: &[Client], time: Duration) -> Result<Met> {
    let clients = clients.to_vec();
    let all = move || -> Result<Met> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let end = Instant::now() + time;
        runtime.block_on(async {
            let tasks: Vec<_> = clients.into_iter().map(|client| tokio::spawn(client.buy(end))).collect();
            let mut all = Met::default();
            for task in tasks {
                let one = task.await.context("a client panicked")?;
                all.waits_us.extend(one.waits_us);
                for (why, count) in one.refused {
                    *all.refused.entry(why).or_default() += count;
                }
            }
            all.waits_us.sort_unstable();
            Ok(all)
        })
    };
    tokio::task::spawn_blocking(all).await?
}

impl Client {
    async fn buy(self, end: Instant) -> Met {
        let mut met = Met::default();
        let (mut random, mut connection, mut request) = (Random::new(self.number), None, Vec::new());
        // They do not all ask in the same moment.
        let begin = Instant::now() + EACH * u32::try_from(self.number).expect("they are few") / 50;
        let mut pulse = interval_at(begin.into(), EACH);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pulse.tick().await;
            if Instant::now() >= end {
                return met;
            }
            request.clear();
            (self.order)(&mut random, &mut request);
            let asked = Instant::now();
            let refusal = match timeout(PATIENCE, self.ask(&mut connection, &request)).await {
                Ok(Ok(201)) => {
                    met.waits_us.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
                    continue;
                }
                Ok(Ok(status)) => format!("answered {status}"),
                Ok(Err(error)) => error.to_string(),
                Err(_elapsed) => format!("no answer within {PATIENCE:?}"),
            };
            connection = None;
            *met.refused.entry(refusal).or_default() += 1;
        }
    }

    async fn ask(&self, connection: &mut Option<Connection<TlsStream<TcpStream>>>, order: &[u8]) -> Result<u16> {
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(Connection::on(self.target.http1(address(self.number)).await?)),
        };
        Ok(connection.ask(order).await?.status)
    }
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 2, u8::try_from(number + 1).expect("they are few"))
}
