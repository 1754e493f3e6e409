//! The HTTP client of buyers and staff, and the history of what the APIs answered. It repeats each request until an API
//! answers it; the verdict compares the history with the database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::cluster::{Cluster, PASSWORD};

/// The longest wait for an answer. No request may take longer, so the API is dead, frozen or cut off.
const TIMEOUT: Duration = Duration::from_secs(12);
/// Pause before a request is repeated, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 50..300;

/// A user with an access token, and the random numbers that decide what the user does.
#[derive(Clone)]
pub struct Person {
    pub token: String,
    pub rng: Rng,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub key: Option<String>,
    pub body: Value,
}

impl Request {
    pub fn post(path: &str, key: String, body: Value) -> Self {
        Self { method: Method::POST, path: path.to_owned(), key: Some(key), body }
    }

    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), key: None, body: Value::Null }
    }

    fn places_an_order(&self) -> bool {
        self.method == Method::POST && self.path == "/v1/orders"
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub replayed: bool,
    pub body: Value,
}

impl Reply {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Did the API carry the request out or refuse it? Other answers are temporary, and the client repeats the request.
    fn decides(&self) -> bool {
        self.status < 500 && self.status != 429 && self.code() != "request_in_progress"
    }

    /// No request of this run may get such an answer, whatever fails.
    fn is_unexpected(&self) -> bool {
        !matches!(self.status, 200..=299 | 409 | 412 | 503 | 504)
    }
}

/// An order that a client requested under an idempotency key, and the answers to it.
#[derive(Debug, Clone, Default)]
pub struct OrderRecord {
    /// The body of the first answer with status 201.
    pub placed: Option<Value>,
    pub refused: Option<Value>,
    /// Requests without an answer, or with one that leaves the outcome open (such as 503). The order may exist because
    /// of them.
    pub in_doubt: u32,
    /// The client dropped the connection and did not repeat the request.
    pub given_up: bool,
}

#[derive(Debug, Default)]
pub struct History {
    pub orders: BTreeMap<String, OrderRecord>,
    /// Units on hand for each product and warehouse, by the answers to staff: opening stock, adjustments, counts and
    /// manual shipments.
    pub stock: BTreeMap<(Uuid, Uuid), i64>,
    pub unexpected: Vec<Value>,
    /// Answers that contradict an earlier answer.
    pub contradictions: Vec<Value>,
    pub answers: BTreeMap<u16, u64>,
    pub unanswered: u64,
    pub replayed: u64,
    /// The time of each answer with status 201.
    pub placed_at: Vec<DateTime<Utc>>,
}

pub struct Clients {
    cluster: Arc<Cluster>,
    http: reqwest::Client,
    history: Mutex<History>,
    /// The end of all repetition. None until the faults have ended.
    pub until: watch::Sender<Option<Instant>>,
}

impl Clients {
    pub fn new(cluster: Arc<Cluster>) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).connect_timeout(Duration::from_secs(2)).build()?;
        Ok(Self { cluster, http, history: Mutex::default(), until: watch::Sender::default() })
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("no thread panics while it holds this")
    }

    pub async fn log_in(&self, email: &str, seed: u64) -> Result<Person> {
        let login = json!({ "email": email, "password": PASSWORD });
        let mut anonymous = Person { token: String::new(), rng: Rng::with_seed(seed) };
        let login = Request { key: None, ..Request::post("/v1/auth/login", String::new(), login) };
        let reply = self.ask(&mut anonymous, &login).await.context("no API let the user log in")?;
        let token = reply.body["access_token"].as_str().with_context(|| format!("{email}: {:?}", reply.body))?;
        Ok(Person { token: token.to_owned(), ..anonymous })
    }

    pub async fn register(&self, email: &str, seed: u64) -> Result<Person> {
        let mut anonymous = Person { token: String::new(), rng: Rng::with_seed(seed) };
        let account = json!({ "email": email, "password": PASSWORD, "name": "A Buyer" });
        let register = Request { key: None, ..Request::post("/v1/auth/register", String::new(), account) };
        self.ask(&mut anonymous, &register).await.context("no API let the user register")?;
        self.log_in(email, seed).await
    }

    /// Sends a request to one API after another until it is carried out or refused. None if `until` passes first.
    pub async fn ask(&self, person: &mut Person, request: &Request) -> Option<Reply> {
        loop {
            let api = person.rng.usize(..self.cluster.apis.len());
            if let Some(reply) = self.ask_once(api, person, request).await
                && reply.decides()
            {
                return Some(reply);
            }
            let until = *self.until.borrow();
            if until.is_some_and(|until| Instant::now() > until) {
                return None;
            }
            sleep(Duration::from_millis(person.rng.u64(PAUSE_MS))).await;
        }
    }

    /// Like `ask`, but any status of 300 or more is an error.
    pub async fn done(&self, person: &mut Person, request: &Request) -> Result<Value> {
        let reply = self.ask(person, request).await.with_context(|| format!("{} was not answered", request.path))?;
        anyhow::ensure!(reply.status < 300, "{} {} was answered {reply:?}", request.method, request.path);
        Ok(reply.body)
    }

    /// Sends a request to one API. None without a complete answer.
    pub async fn ask_once(&self, api: usize, person: &Person, request: &Request) -> Option<Reply> {
        let was_placed = request.places_an_order() && self.begin(request);
        let reply = self.send(api, person, request).await;
        self.record(request, was_placed, reply.as_ref());
        reply
    }

    async fn send(&self, api: usize, person: &Person, request: &Request) -> Option<Reply> {
        let url = format!("http://{}{}", self.cluster.apis[api].addr(), request.path);
        let mut sending = self.http.request(request.method.clone(), url);
        if !person.token.is_empty() {
            sending = sending.bearer_auth(&person.token);
        }
        if let Some(key) = &request.key {
            sending = sending.header("idempotency-key", key);
        }
        if !request.body.is_null() {
            sending = sending.json(&request.body);
        }
        let response = sending.send().await.ok()?;
        let status = response.status().as_u16();
        let replayed = response.headers().contains_key("idempotent-replayed");
        Some(Reply { status, replayed, body: response.json().await.ok()? })
    }

    /// Counts an open request for the order. Until it is answered, and also if it fails, the order may or may not
    /// exist. Returns true if an earlier answer already said that the order exists.
    fn begin(&self, request: &Request) -> bool {
        let key = request.key.clone().unwrap_or_default();
        let mut history = self.history();
        let asked = history.orders.entry(key).or_default();
        asked.in_doubt += 1;
        asked.placed.is_some()
    }

    fn record(&self, request: &Request, was_placed: bool, reply: Option<&Reply>) {
        let Some(reply) = reply else {
            self.history().unanswered += 1;
            return;
        };
        let mut history = self.history();
        *history.answers.entry(reply.status).or_default() += 1;
        history.replayed += u64::from(reply.replayed);
        if reply.is_unexpected() {
            let Request { method, path, key, .. } = request;
            let unexpected = json!({ "asked": format!("{method} {path}"), "key": key, "status": reply.status, "answer": reply.body });
            history.unexpected.push(unexpected);
        }
        if request.places_an_order() && reply.decides() {
            history.decided(request.key.as_deref().unwrap_or_default(), was_placed, reply);
        }
    }
}

impl History {
    fn decided(&mut self, key: &str, was_placed: bool, reply: &Reply) {
        let asked = self.orders.entry(key.to_owned()).or_default();
        asked.in_doubt = asked.in_doubt.saturating_sub(1);
        match (&asked.placed, reply.status) {
            (None, 201) => {
                asked.placed = Some(reply.body.clone());
                self.placed_at.push(Utc::now());
            }
            (Some(first), 201) if first["id"] == reply.body["id"] => {}
            // The same request was sent twice at once. One was refused, and the other one found stock and was answered
            // first.
            (Some(_), 409) if !was_placed => {}
            (Some(first), _) => {
                let contradiction = json!({ "key": key, "first": first, "then": reply.body });
                self.contradictions.push(contradiction);
            }
            (None, _) => asked.refused = Some(reply.body.clone()),
        }
    }

    pub fn order_ids(&self) -> Vec<Uuid> {
        self.placed().filter_map(|(_, order)| order["id"].as_str()?.parse().ok()).collect()
    }

    /// The orders that were answered 201, with the body of that answer.
    pub fn placed(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.orders.iter().filter_map(|(key, asked)| Some((key, asked.placed.as_ref()?)))
    }
}
