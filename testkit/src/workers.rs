//! Real `millrace-worker` processes, and an API whose jobs they run.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::app::TestApp;
use crate::database::redis_url;
use crate::person::{Person, Reply};
use crate::until::until;

/// The process is killed when this is dropped.
pub struct WorkerProcess {
    child: Child,
}

/// Short times, so that tests are fast.
const SETTINGS: [(&str, &str); 10] = [
    ("WORKER_ADDR", "127.0.0.1:0"),
    ("JOB_LEASE", "2s"),
    ("JOB_MAX_ATTEMPTS", "4"),
    ("RETRY_INITIAL", "50ms"),
    ("RETRY_MAX", "200ms"),
    ("DELIVERY_DELAY", "50ms"),
    ("PAYMENT_PROVIDER", "simulated"),
    ("SIMULATED_SCRIPTS", "on"),
    ("PAYMENT_LATENCY", "5ms"),
    ("RUST_LOG", "warn"),
];

/// For tests only.
pub const WEBHOOK_KEY: &str = "a master key for tests, which everybody knows";

/// The settings of a worker that sends webhooks to this machine. What takes minutes takes milliseconds.
pub const WEBHOOKS: [(&str, &str); 4] = [
    ("WEBHOOK_MASTER_KEY", WEBHOOK_KEY),
    ("WEBHOOK_ALLOW", "127.0.0.0/8"),
    ("WEBHOOK_RETRY_SCALE", "0.001"),
    ("WEBHOOK_TIMEOUT", "2s"),
];

/// The options of an API whose webhooks reach this machine.
pub fn webhook_options() -> [String; 2] {
    [format!("--webhook-master-key={WEBHOOK_KEY}"), "--webhook-allow=127.0.0.0/8".to_owned()]
}

impl WorkerProcess {
    /// These settings override those of `SETTINGS`.
    pub fn start(system: &TestSystem, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary("millrace-worker"));
        command.env_clear().envs(SETTINGS).env("DATABASE_URL", &system.app.database_url);
        if let Some(redis) = &system.redis {
            command.env("REDIS_URL", redis).env("REDIS_PREFIX", &system.prefix);
        }
        command.envs(settings.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        Self { child: command.spawn().expect("the worker starts") }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("the worker runs")
    }

    /// Sends a signal, as an operator or the kernel would.
    pub async fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().await.unwrap();
        assert!(sent.success());
    }

    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until the process has ended after a signal.
    pub async fn ended(mut self) -> std::process::ExitStatus {
        tokio::time::timeout(std::time::Duration::from_secs(30), self.child.wait()).await.expect("it ends").unwrap()
    }
}

/// An API with 1,000 mugs in stock, and the Redis for the doorbell of its workers.
pub struct TestSystem {
    pub app: TestApp,
    pub redis: Option<String>,
    pub prefix: String,
    pub mug: Uuid,
}

impl TestSystem {
    pub async fn start() -> Self {
        Self::with_redis(Some(redis_url())).await
    }

    pub async fn with_redis(redis: Option<String>) -> Self {
        Self::with_attempts(redis, 4).await
    }

    /// With so many attempts for each job that the API writes. Workers take the same from `JOB_MAX_ATTEMPTS`.
    pub async fn with_attempts(redis: Option<String>, attempts: u32) -> Self {
        Self::with_options(redis, attempts, &[]).await
    }

    /// With webhooks that reach this machine. Workers take `WEBHOOKS`.
    pub async fn with_webhooks(redis: Option<String>) -> Self {
        Self::with_options(redis, 4, &webhook_options()).await
    }

    pub async fn with_options(redis: Option<String>, attempts: u32, further: &[String]) -> Self {
        let prefix = format!("test-{}", Uuid::now_v7().simple());
        let mut options = vec![
            "--max-open-orders=0".to_owned(),
            "--max-unpaid-units=0".to_owned(),
            "--max-unpaid-share=0".to_owned(),
            format!("--redis-prefix={prefix}"),
            format!("--job-max-attempts={attempts}"),
        ];
        options.extend(redis.iter().map(|url| format!("--redis-url={url}")));
        options.extend_from_slice(further);
        let app = TestApp::with(&options.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let mug = app.product("mug", 1250, 1000).await;
        Self { app, redis, prefix, mug }
    }

    /// Places an order for one mug.
    pub async fn order(&self, buyer: &Person<'_>, token: &str) -> String {
        let body = json!({
            "items": [{ "sku": "mug", "quantity": 1 }], "payment_token": token, "shipping_address": { "city": "Bath" },
        });
        let placed: Reply = buyer.post("/v1/orders", body).await.done(201);
        placed.header("location").to_owned()
    }

    /// Waits until an order has this status. Returns the order.
    pub async fn reaches(&self, buyer: &Person<'_>, order: &str, status: &str) -> Value {
        let mut last = Value::Null;
        until(&format!("{order} is {status}"), async || {
            last = buyer.get(order).await.done(200).body;
            last["status"] == status
        })
        .await;
        last
    }

    /// The units of the mug that are on hand and that are reserved.
    pub async fn stock(&self) -> (i64, i64) {
        self.app.shelf(self.mug).await
    }

    /// The charges at the provider: how many were charged, and how many of these were refunded.
    pub async fn charges(&self) -> (i64, i64) {
        sqlx::query_as(
            "select count(*) filter (where state in ('charged', 'refunded')), count(*) filter (where state = 'refunded')
               from simulated_charges",
        )
        .fetch_one(&self.app.db)
        .await
        .unwrap()
    }

    /// Writes jobs without ringing the doorbell.
    pub async fn jobs(&self, kind: &str, queue: &str, args: Value, count: i32) {
        sqlx::query(
            "insert into jobs (queue, kind, args, max_attempt) select $1::queue, $2, $3, 4 from generate_series(1, $4)",
        )
        .bind(queue)
        .bind(kind)
        .bind(args)
        .bind(count)
        .execute(&self.app.db)
        .await
        .unwrap();
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        self.app.count(sql).await
    }

    pub async fn until_count(&self, what: &str, sql: &'static str, wanted: i64) {
        until(what, async || self.count(sql).await == wanted).await;
    }
}

/// Cargo puts the binaries into the parent folder of the tests.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    test.parent().and_then(Path::parent).expect("it is in target/debug/deps").join(name)
}
