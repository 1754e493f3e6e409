//! Simulated customers for `./dev up --demo`: they buy with every test card and sometimes cancel, at the pace of people, so
//! that the console has something to show. They use the API like everybody else.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// Between two things that a shopper does, in seconds.
const PAUSE: std::ops::Range<u64> = 2..12;

/// Cards of the simulated provider, each as often as its number says.
const CARDS: [(&str, u8); 7] = [
    ("tok_ok", 62),
    ("tok_declined", 10),
    ("tok_slow_5000", 8),
    ("tok_flaky_2", 8),
    ("tok_timeout_charged", 6),
    ("tok_flaky_8", 4),
    ("tok_unavailable", 2),
];

/// Lets so many customers shop until the process is stopped.
pub async fn run(url: &str, customers: usize) -> Result<()> {
    let http = Client::builder().timeout(Duration::from_secs(20)).build()?;
    let shoppers = (0..customers).map(|number| {
        let shopper = Shopper {
            http: http.clone(),
            url: url.to_owned(),
            email: format!("{}@millrace.test", Uuid::now_v7().simple()),
            password: Uuid::new_v4().to_string(),
            token: String::new(),
        };
        tokio::spawn(shopper.shop(number))
    });
    for ended in futures::future::join_all(shoppers).await {
        ended??;
    }
    Ok(())
}

struct Shopper {
    http: Client,
    url: String,
    email: String,
    password: String,
    token: String,
}

impl Shopper {
    async fn shop(mut self, number: usize) -> Result<()> {
        let skus = self.skus().await?;
        self.register(number).await?;
        loop {
            tokio::time::sleep(Duration::from_secs(PAUSE.start + random(PAUSE.end - PAUSE.start))).await;
            let order = self.buy(&skus).await;
            match order {
                Ok(Some(id)) if random(12) == 0 => self.cancel(&id).await,
                Ok(_) => {}
                Err(error) => eprintln!("a simulated customer could not buy: {error:#}"),
            }
        }
    }

    async fn skus(&self) -> Result<Vec<String>> {
        let products = self.http.get(format!("{}/v1/products?limit=100", self.url)).send().await?;
        let products: Value = products.error_for_status()?.json().await?;
        let products = products["data"].as_array().context("the list of products has no data")?;
        Ok(products.iter().filter_map(|product| Some(product["sku"].as_str()?.to_owned())).collect())
    }

    async fn register(&mut self, number: usize) -> Result<()> {
        const NAMES: [&str; 6] = ["Ben Bloom", "Cara Cole", "Dev Das", "Eva Ek", "Finn Fox", "Gia Gold"];
        let name = NAMES[number % NAMES.len()];
        let account = json!({ "email": self.email, "password": self.password, "name": name });
        let registered = self.http.post(format!("{}/v1/auth/register", self.url)).json(&account).send().await?;
        registered.error_for_status()?;
        self.log_in().await
    }

    async fn log_in(&mut self) -> Result<()> {
        let login = json!({ "email": self.email, "password": self.password });
        let tokens = self.http.post(format!("{}/v1/auth/login", self.url)).json(&login).send().await?;
        let tokens: Value = tokens.error_for_status()?.json().await?;
        let token = tokens["access_token"].as_str().context("the login has no token")?;
        token.clone_into(&mut self.token);
        Ok(())
    }

    /// Buys one to three products. `None`: it was refused, as happens to people too, or the token had expired.
    async fn buy(&mut self, skus: &[String]) -> Result<Option<String>> {
        let lines: Vec<Value> = (0..=random(3))
            .map(|_| {
                let at = usize::try_from(random(skus.len() as u64)).unwrap_or(0);
                json!({ "sku": skus[at], "quantity": 1 + random(3) })
            })
            .collect();
        let order = json!({
            "items": lines, "payment_token": card(),
            "shipping_address": { "name": "A simulated customer", "line1": "1 Mill Lane", "city": "Bath", "country": "GB" },
        });
        let request = self.http.post(format!("{}/v1/orders", self.url)).bearer_auth(&self.token);
        let placed = request.header("Idempotency-Key", Uuid::now_v7().to_string()).json(&order).send().await?;
        match placed.status() {
            StatusCode::CREATED => {}
            StatusCode::UNAUTHORIZED => {
                self.log_in().await?;
                return Ok(None);
            }
            _ => return Ok(None),
        }
        let placed: Value = placed.json().await?;
        Ok(placed["id"].as_str().map(ToOwned::to_owned))
    }

    /// Whether it can still be cancelled is for the API to say.
    async fn cancel(&self, id: &str) {
        let request = self.http.post(format!("{}/v1/orders/{id}/cancel", self.url)).bearer_auth(&self.token);
        request.json(&json!({ "reason": "changed my mind" })).send().await.ok();
    }
}

fn card() -> &'static str {
    let mut left = random(100);
    for (card, share) in CARDS {
        if left < u64::from(share) {
            return card;
        }
        left -= u64::from(share);
    }
    CARDS[0].0
}

/// A number below `below`.
fn random(below: u64) -> u64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    high % below.max(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shares_of_the_cards_add_up() {
        assert_eq!(super::CARDS.iter().map(|(_, share)| u32::from(*share)).sum::<u32>(), 100);
    }
}
