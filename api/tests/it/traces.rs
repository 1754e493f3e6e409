//! Traces and logs of both binaries: spans as a real collector receives them, and log lines as documented.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use futures::{StreamExt, stream};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use reqwest::Method;
use serde_json::{Value, json};
use shared::principal::Role;
use sqlx::PgPool;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::process::{Process, binary, enough};
use testkit::app::{PASSWORD, TestApp};
use testkit::database::{new_database, redis_url};
use testkit::until::until;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PROXY: &str = "00f067aa0ba902b7";

// ---- the trace context -----------------------------------------------------------------------

#[tokio::test]
async fn a_traceparent_is_believed_from_trusted_proxies_only_and_travels_with_the_jobs() {
    let sent = format!("00-{TRACE}-{PROXY}-01");
    for (trusted, believed) in [("--trusted-proxies=127.0.0.1", true), ("--trusted-proxies=10.0.0.0/8", false)] {
        let app = TestApp::with(&[trusted]).await;
        let staff = app.staff().await;
        let shop = Seller { url: app.url.clone(), token: staff.token.clone().unwrap() };
        shop.stock().await;
        let order = shop.place("tok_ok", &[("traceparent", &sent)]).await;
        let kept: String = sqlx::query_scalar("select trace_parent from jobs where order_id = $1")
            .bind(order)
            .fetch_one(&app.db)
            .await
            .unwrap();
        assert_eq!(kept == sent, believed, "{trusted}: {kept}");
        assert_eq!(kept.len(), sent.len(), "without one, or with one that is not believed, a trace begins: {kept}");
    }
}

// ---- the export ------------------------------------------------------------------------------

#[tokio::test]
async fn an_order_is_one_trace_from_its_request_to_its_delivery() {
    let collector = Collector::start().await;
    let mut life =
        Life::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url), ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    life.shop.stock().await;
    let traceparent = format!("00-{TRACE}-{PROXY}-01");
    let headers = [("traceparent", &*traceparent), ("x-request-id", "the-order")];
    let order = life.shop.place("tok_ok", &headers).await;
    life.shop.until_status(order, "delivered").await;
    let lines = life.end().await; // On shutdown both send the spans that they still have.

    let spans = collector.spans();
    let ours: Vec<&Seen> = spans.iter().filter(|seen| hex(&seen.span.trace_id) == TRACE).collect();
    let parent_of = |seen: &Seen| match hex(&seen.span.parent_span_id) {
        parent if parent == PROXY => "the proxy".to_owned(),
        parent => ours.iter().find(|one| hex(&one.span.span_id) == parent).unwrap().span.name.clone(),
    };
    let mut told: Vec<_> =
        ours.iter().map(|seen| (seen.span.name.as_str(), seen.span.kind(), &*seen.service, parent_of(seen))).collect();
    told.sort_by_key(|one| one.0);
    let expected = [
        ("POST /v1/orders", SpanKind::Server, "millrace-api", "the proxy"),
        ("book", SpanKind::Client, "millrace-worker", "ship_order"),
        ("charge", SpanKind::Client, "millrace-worker", "process_payment"),
        ("deliver_order", SpanKind::Consumer, "millrace-worker", "ship_order"),
        ("place", SpanKind::Producer, "millrace-api", "POST /v1/orders"),
        ("process_payment", SpanKind::Consumer, "millrace-worker", "POST /v1/orders"),
        ("ship_order", SpanKind::Consumer, "millrace-worker", "process_payment"),
    ];
    assert_eq!(told, expected.map(|(name, kind, service, parent)| (name, kind, service, parent.to_owned())));
    let payment = ours.iter().find(|seen| seen.span.name == "process_payment").unwrap();
    assert_eq!(payment.attribute("order_id"), order.to_string());
    assert_eq!(payment.attribute("request_id"), "the-order");
    assert_eq!(payment.attribute("outcome"), "done");

    // Other requests are traces of their own, without a parent.
    let reads = spans.iter().filter(|seen| seen.span.name == "GET /v1/orders/{id}");
    assert!(reads.clone().count() > 0);
    assert!(reads.clone().all(|read| read.span.parent_span_id.is_empty() && hex(&read.span.trace_id) != TRACE));

    // The logs of both processes have the trace id.
    for kind in ["answered 201", "process_payment done", "deliver_order done"] {
        let traced = |line: &&Value| line["message"] == kind && line["trace_id"] == TRACE;
        assert_eq!(lines.iter().filter(traced).count(), 1, "{kind}: {lines:#?}");
    }
}

#[tokio::test]
async fn whoever_began_a_trace_has_decided_whether_it_is_sent() {
    let collector = Collector::start().await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let database = new_database().await;
    let mut api = Process::start(binary(&enough(&database)).envs(settings));
    let url = format!("{}/health/live", api.url());
    let http = reqwest::Client::new();
    for flags in [None, Some("00"), Some("01")] {
        let mut request = http.get(&url);
        if let Some(flags) = flags {
            request = request.header("traceparent", format!("00-{TRACE}-{PROXY}-{flags}"));
        }
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    }
    api.signal("TERM");
    assert!(api.end().await.success());
    let spans = collector.spans();
    assert_eq!(spans.iter().map(|seen| hex(&seen.span.trace_id)).collect::<Vec<_>>(), [TRACE], "{spans:#?}");
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_nothing_but_spans() {
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap(); // Accepts connections and never reads from them.
    let endpoint = format!("http://{}", hole.local_addr().unwrap());
    let database = new_database().await;
    let mut api = Process::start(binary(&enough(&database)).env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
    let (url, http) = (api.url(), reqwest::Client::new());
    // More spans than the exporter buffers, so some are dropped.
    let answered = stream::iter(0..9000)
        .map(|_| http.get(format!("{url}/health/live")).send())
        .buffer_unordered(32)
        .fold(0, async |fine, answer| fine + i32::from(answer.is_ok_and(|it| it.status() == StatusCode::OK)));
    assert_eq!(answered.await, 9000);

    let asked = Instant::now();
    api.signal("TERM");
    assert!(api.end().await.success());
    assert!(asked.elapsed() < Duration::from_secs(20), "it waited {:?} for a collector", asked.elapsed());
}

// ---- the log ---------------------------------------------------------------------------------

#[tokio::test]
async fn lines_of_log_hold_exactly_the_fields_that_are_documented() {
    let mut life = Life::start(&[("JOB_MAX_ATTEMPTS", "2")]).await;
    life.shop.stock().await;
    let delivered = life.shop.place("tok_flaky_1", &[]).await;
    let dead = life.shop.place("tok_unavailable", &[]).await;
    life.shop.call(Method::POST, "/v1/orders", json!({}), &[]).await;
    life.shop.until_status(delivered, "delivered").await;
    let dead_job = format!("/v1/ops/jobs?state=dead&order_id={dead}");
    until("a job is dead", async || {
        life.shop.get(&dead_job).await["data"].as_array().is_some_and(|jobs| !jobs.is_empty())
    })
    .await;
    let lines = life.end().await;
    let docs = documented();

    let requests: Vec<&Value> = lines.iter().filter(|line| line.get("method").is_some()).collect();
    let jobs: Vec<&Value> = lines.iter().filter(|line| line.get("kind").is_some()).collect();
    assert_documented("request", &requests, &[&docs[0], &docs[1]]);
    assert_documented("job", &jobs, &[&docs[0], &docs[2]]);

    let requests = requests.iter().map(|line| line["request_id"].as_str().unwrap());
    assert_eq!(requests.clone().count(), requests.collect::<BTreeSet<_>>().len(), "a request has one line");
    let attempts = jobs.iter().map(|line| (line["job_id"].as_str().unwrap(), line["attempt"].as_u64().unwrap()));
    assert_eq!(attempts.clone().count(), attempts.collect::<BTreeSet<_>>().len(), "an attempt has one line");

    let level_of = |order: Uuid, outcome: &str| {
        let about = |line: &&&Value| line["order_id"] == order.to_string() && line["outcome"] == outcome;
        jobs.iter().filter(about).map(|line| line["level"].as_str().unwrap()).collect::<BTreeSet<_>>()
    };
    assert_eq!(level_of(delivered, "retried"), ["WARN"].into());
    assert_eq!(level_of(delivered, "done"), ["INFO"].into());
    assert_eq!(level_of(dead, "dead"), ["ERROR"].into());
}

/// Checks that each line has the fields that are always present, that each other documented field is in some line, and
/// that there are no other fields.
fn assert_documented(what: &str, lines: &[&Value], tables: &[&BTreeMap<String, bool>]) {
    let documented: BTreeMap<&str, bool> =
        tables.iter().flat_map(|table| table.iter()).map(|(name, always)| (name.as_str(), *always)).collect();
    let mut found = BTreeSet::new();
    for line in lines {
        let fields: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        for (name, _) in documented.iter().filter(|(_, always)| **always) {
            assert!(fields.contains(name), "{name} is always in the line of a {what}, but not in {line}");
        }
        found.extend(fields);
    }
    assert_eq!(found, documented.keys().copied().collect(), "the fields of a {what} differ from docs/logging.md");
}

/// The tables of fields in docs/logging.md, for all lines, for requests and for jobs. The value says whether the field
/// is always present.
fn documented() -> Vec<BTreeMap<String, bool>> {
    let docs = include_str!("../../../docs/logging.md");
    let tables = docs.split("| field | when | what |\n| --- | --- | --- |\n").skip(1);
    let row = |row: &str| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let name = cells.next().unwrap().trim_matches('`').to_owned();
        match cells.next().unwrap() {
            "always" => (name, true),
            "where it applies" => (name, false),
            other => panic!("`{other}` says nothing about when {name} is there"),
        }
    };
    tables.map(|table| table.lines().take_while(|line| line.starts_with('|')).map(row).collect()).collect()
}

// ---- support ---------------------------------------------------------------------------------

/// An API process and a worker process.
struct Life {
    api: Process,
    worker: Process,
    shop: Seller,
}

impl Life {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let (database, redis, prefix) = (new_database().await, redis_url(), Uuid::now_v7().to_string());
        let mut both = enough(&database);
        both.extend([("REDIS_URL", &*redis), ("REDIS_PREFIX", &*prefix), ("WORKER_ADDR", "127.0.0.1:0")]);
        both.extend([("PAYMENT_PROVIDER", "simulated"), ("SIMULATED_SCRIPTS", "on")]);
        both.extend([("DELIVERY_DELAY", "1ms"), ("PAYMENT_LATENCY", "1ms"), ("RETRY_INITIAL", "1ms")]);
        both.extend(settings);
        let mut api = Process::start(&mut binary(&both));
        let url = api.url();
        // `cargo test` of the workspace builds both binaries, but of this package only the API's.
        let worker = Path::new(env!("CARGO_BIN_EXE_millrace-api")).with_file_name("millrace-worker");
        assert!(worker.exists(), "build it first: cargo build -p millrace-worker");
        let mut worker = Command::new(worker);
        worker.env_clear().envs(both).current_dir("/").stdin(Stdio::null());
        let db = PgPool::connect(&database).await.unwrap();
        let token = staff(&db, &url).await;
        Self { api, worker: Process::start(&mut worker), shop: Seller { url, token } }
    }

    /// Stops both and returns all lines of their logs.
    async fn end(&mut self) -> Vec<Value> {
        for process in [&mut self.api, &mut self.worker] {
            process.signal("TERM");
            assert!(process.end().await.success());
        }
        let lines = self.api.seen.iter().chain(&self.worker.seen);
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
    }
}

async fn staff(db: &PgPool, url: &str) -> String {
    let email = "staff@example.com";
    let password = PASSWORD.to_owned().try_into().unwrap();
    let name = "Some One".parse().unwrap();
    shared::identity::users::create_user(db, email.parse().unwrap(), password, name, Role::Staff).await.unwrap();
    let login = json!({ "email": email, "password": PASSWORD });
    let login = reqwest::Client::new().post(format!("{url}/v1/auth/login")).json(&login).send().await.unwrap();
    login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
}

/// A staff user with a product to sell.
struct Seller {
    url: String,
    token: String,
}

impl Seller {
    async fn call(&self, method: Method, path: &str, body: Value, headers: &[(&str, &str)]) -> Value {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request = headers.iter().fold(request.json(&body), |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, Value::Null, &[]).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, body, &[]).await
    }

    async fn stock(&self) {
        let price = json!({ "amount": 1250, "currency": "USD" });
        let mug = self.post("/v1/products", json!({ "sku": "mug", "name": "Mug", "price": price })).await;
        let main = json!({ "code": "MAIN", "name": "Main", "priority": 1, "active": true });
        let main = self.post("/v1/warehouses", main).await;
        let stock = json!({ "product_id": mug["id"], "warehouse_id": main["id"], "on_hand": 50 });
        assert_eq!(self.post("/v1/inventory", stock).await["available"], 50);
    }

    async fn place(&self, token: &str, headers: &[(&str, &str)]) -> Uuid {
        let order = json!({
            "items": [{ "sku": "mug", "quantity": 1 }], "payment_token": token,
            "shipping_address": { "line1": "1 Mill Lane", "city": "Bath" },
        });
        let placed = self.call(Method::POST, "/v1/orders", order, headers).await;
        placed["id"].as_str().unwrap_or_else(|| panic!("not placed: {placed}")).parse().unwrap()
    }

    async fn until_status(&self, order: Uuid, status: &str) {
        let path = format!("/v1/orders/{order}");
        until(&format!("the order is {status}"), async || self.get(&path).await["status"] == status).await;
    }
}

/// A minimal OpenTelemetry collector: OTLP over HTTP in protobuf.
struct Collector {
    url: String,
    taken: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Debug, Clone)]
struct Seen {
    service: String,
    span: Span,
}

impl Collector {
    async fn start() -> Self {
        let taken = Arc::<Mutex<Vec<Seen>>>::default();
        let keep = taken.clone();
        let take = async move |body: Bytes| {
            let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
            for resource in request.resource_spans {
                let service = text(&resource.resource.unwrap().attributes, "service.name");
                let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                keep.lock().unwrap().extend(spans.map(|span| Seen { service: service.clone(), span }));
            }
            StatusCode::OK
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, Router::new().route("/v1/traces", post(take))).into_future());
        Self { url, taken }
    }

    fn spans(&self) -> Vec<Seen> {
        self.taken.lock().unwrap().clone()
    }
}

impl Seen {
    fn attribute(&self, name: &str) -> String {
        text(&self.span.attributes, name)
    }
}

fn text(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|one| one.key == name).and_then(|one| one.value.as_ref()?.value.clone());
    match found {
        Some(Attribute::StringValue(text)) => text,
        other => panic!("{name} is {other:?} in {attributes:#?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let number = bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
    format!("{number:0width$x}", width = 2 * bytes.len())
}
