//! How people reach the system, and what they remember of it: every request is repeated until it is answered,
//! and what was answered is what will be asked for at the end.

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

/// Longer than any request may take: then the API is dead, frozen or cut off.
const PATIENCE: Duration = Duration::from_secs(12);
/// Before a request is repeated, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 50..300;

/// Somebody with an account, and a die to decide by.
#[derive(Clone)]
pub struct Person {
    pub token: String,
    pub dice: Rng,
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

    /// Whether the request was carried out or refused. Anything else is asked again.
    fn decides(&self) -> bool {
        self.status < 500 && self.status != 429 && self.code() != "request_in_progress"
    }

    /// What no request of this run may be told, whatever is broken.
    fn is_strange(&self) -> bool {
        !matches!(self.status, 200..=299 | 409 | 412 | 503 | 504)
    }
}

/// An order that somebody asked for under a key, and all that was heard of it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// As it was answered 201, first.
    pub placed: Option<Value>,
    pub refused: Option<Value>,
    /// Requests that were not answered, or answered with "not now" or "unknown": it may exist because of them.
    pub in_doubt: u32,
    /// The client hung up and never asked again.
    pub given_up: bool,
}

#[derive(Debug, Default)]
pub struct Memory {
    pub orders: BTreeMap<String, Asked>,
    /// Units on hand in each place as staff knows it: put there, added, taken away and shipped by hand.
    pub stock: BTreeMap<(Uuid, Uuid), i64>,
    pub strange: Vec<Value>,
    /// Answers that contradict an earlier one.
    pub contradictions: Vec<Value>,
    pub answers: BTreeMap<u16, u64>,
    pub unanswered: u64,
    pub replayed: u64,
    /// When each order was answered 201.
    pub placed_at: Vec<DateTime<Utc>>,
}

pub struct Clients {
    cluster: Arc<Cluster>,
    http: reqwest::Client,
    memory: Mutex<Memory>,
    /// When repeating ends; not known before the faults are over.
    pub until: watch::Sender<Option<Instant>>,
}

impl Clients {
    pub fn new(cluster: Arc<Cluster>) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE).connect_timeout(Duration::from_secs(2)).build()?;
        Ok(Self { cluster, http, memory: Mutex::default(), until: watch::Sender::default() })
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("nobody panics while remembering")
    }

    pub async fn log_in(&self, email: &str, seed: u64) -> Result<Person> {
        let login = json!({ "email": email, "password": PASSWORD });
        let mut nobody = Person { token: String::new(), dice: Rng::with_seed(seed) };
        let login = Request { key: None, ..Request::post("/v1/auth/login", String::new(), login) };
        let reply = self.ask(&mut nobody, &login).await.context("nobody can log in")?;
        let token = reply.body["access_token"].as_str().with_context(|| format!("{email}: {:?}", reply.body))?;
        Ok(Person { token: token.to_owned(), ..nobody })
    }

    pub async fn register(&self, email: &str, seed: u64) -> Result<Person> {
        let mut nobody = Person { token: String::new(), dice: Rng::with_seed(seed) };
        let account = json!({ "email": email, "password": PASSWORD, "name": "A Buyer" });
        let register = Request { key: None, ..Request::post("/v1/auth/register", String::new(), account) };
        self.ask(&mut nobody, &register).await.context("nobody can register")?;
        self.log_in(email, seed).await
    }

    /// Asks one API after the other until the request is carried out or refused. None when the run ended first.
    pub async fn ask(&self, person: &mut Person, request: &Request) -> Option<Reply> {
        loop {
            let api = person.dice.usize(..self.cluster.apis.len());
            if let Some(reply) = self.ask_once(api, person, request).await
                && reply.decides()
            {
                return Some(reply);
            }
            let until = *self.until.borrow();
            if until.is_some_and(|until| Instant::now() > until) {
                return None;
            }
            sleep(Duration::from_millis(person.dice.u64(PAUSE_MS))).await;
        }
    }

    /// As `ask`, for an answer that must be yes.
    pub async fn done(&self, person: &mut Person, request: &Request) -> Result<Value> {
        let reply = self.ask(person, request).await.with_context(|| format!("{} had no answer", request.path))?;
        anyhow::ensure!(reply.status < 300, "{} {} was answered {reply:?}", request.method, request.path);
        Ok(reply.body)
    }

    /// Starts an audit of everything, and waits for its report. A run ends with its process, so it may have to be started
    /// again.
    pub async fn full_audit(&self, staff: &mut Person) -> Result<Value> {
        loop {
            let key = Uuid::now_v7().to_string();
            let started = self.done(staff, &Request::post("/v1/ops/audit/runs", key, json!({}))).await?;
            let path = format!("/v1/ops/audit/runs/{}", started["id"].as_str().context("a run has an id")?);
            loop {
                let run = self.ask(staff, &Request::get(&path)).await.context("the audit had no answer")?;
                match run.status {
                    200 if run.body["state"] == "done" => return Ok(run.body),
                    200 => sleep(Duration::from_millis(200)).await,
                    _ => break,
                }
            }
        }
    }

    /// Asks one API. None if there was no answer, or not a whole one.
    pub async fn ask_once(&self, api: usize, person: &Person, request: &Request) -> Option<Reply> {
        let was_placed = request.places_an_order() && self.begin(request);
        let reply = self.send(api, person, request).await;
        self.remember(request, was_placed, reply.as_ref());
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

    /// While a request is out, and after it came to nothing, its order may exist or not. Answers whether it is known
    /// to exist already.
    fn begin(&self, request: &Request) -> bool {
        let key = request.key.clone().unwrap_or_default();
        let mut memory = self.memory();
        let asked = memory.orders.entry(key).or_default();
        asked.in_doubt += 1;
        asked.placed.is_some()
    }

    fn remember(&self, request: &Request, was_placed: bool, reply: Option<&Reply>) {
        let Some(reply) = reply else {
            self.memory().unanswered += 1;
            return;
        };
        let mut memory = self.memory();
        *memory.answers.entry(reply.status).or_default() += 1;
        memory.replayed += u64::from(reply.replayed);
        if reply.is_strange() {
            let Request { method, path, key, .. } = request;
            let strange = json!({ "asked": format!("{method} {path}"), "key": key, "status": reply.status, "answer": reply.body });
            memory.strange.push(strange);
        }
        if request.places_an_order() && reply.decides() {
            memory.decided(request.key.as_deref().unwrap_or_default(), was_placed, reply);
        }
    }
}

impl Memory {
    fn decided(&mut self, key: &str, was_placed: bool, reply: &Reply) {
        let asked = self.orders.entry(key.to_owned()).or_default();
        asked.in_doubt = asked.in_doubt.saturating_sub(1);
        match (&asked.placed, reply.status) {
            (None, 201) => {
                asked.placed = Some(reply.body.clone());
                self.placed_at.push(Utc::now());
            }
            (Some(first), 201) if first["id"] == reply.body["id"] => {}
            // Refused, and then there was stock for its twin, which was answered sooner.
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

    /// The orders that were answered 201, as they were answered.
    pub fn placed(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.orders.iter().filter_map(|(key, asked)| Some((key, asked.placed.as_ref()?)))
    }
}
