//! The worker's binary: settings, health, metrics, signals.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use testkit::database::{empty_database, new_database, redis_url};
use testkit::until::until;

const SECRET: &str = "hunter2-is-secret";

/// The binary with these settings and no others, in a folder without `.env`.
fn binary(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-worker"));
    command.env_clear().envs(settings.iter().copied()).current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Starts a worker. Returns the process, its log, and the URL of its health.
async fn start(settings: &[(&str, &str)]) -> (Child, Lines<BufReader<ChildStdout>>, String) {
    let mut child = binary(settings).stdout(Stdio::piped()).spawn().expect("the binary is there");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    loop {
        let line: Value =
            serde_json::from_str(&lines.next_line().await.unwrap().expect("it logs its address")).unwrap();
        if let Some(addr) = line["addr"].as_str() {
            return (child, lines, format!("http://{addr}"));
        }
    }
}

#[tokio::test]
async fn a_wrong_or_missing_setting_stops_the_start_with_a_sentence_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let database = format!("postgres://millrace:{SECRET}@127.0.0.1:1/millrace");
    let redis = format!("redes://:{SECRET}@127.0.0.1");
    let nameless = format!("redis+sentinel://:{SECRET}@127.0.0.1:26379");
    let numbered = format!("redis+cluster://:{SECRET}@127.0.0.1:7000/1");
    for (setting, value) in [
        ("DATABASE_URL", ""),
        ("DATABASE_URL", SECRET),
        ("REDIS_URL", &redis),
        ("REDIS_URL", &nameless),
        ("QUEUE_REDIS_URL", &numbered),
        ("WORKER_ADDR", &taken),
        ("WORKER_QUEUES", "urgent"),
        ("WORKER_CONCURRENCY", "0"),
        ("JOB_LEASE", "10"),
        ("RETRY_MAX", "1ms"),
        ("QUEUE_TRANSPORT", "apalis-redis"), // Without a Redis.
        ("REAPER_SCHEDULE", "now and then"),
        ("PAYMENT_PROVIDER", "piggy-bank"),
        ("SIMULATED_SCRIPTS", "sometimes"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_TRACES_SAMPLER_ARG", "most"),
    ] {
        let enough = [("DATABASE_URL", &*database), ("WORKER_ADDR", "127.0.0.1:0"), ("PAYMENT_PROVIDER", "simulated")];
        let mut command = binary(&enough);
        let output = command.env(setting, value).output().await.unwrap();
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && printed.contains(setting), "{setting}={value}: {printed}");
        assert!(!printed.contains(SECRET) && !printed.contains("panicked"), "{setting}={value}: {printed}");
    }
}

#[tokio::test]
async fn no_provider_is_chosen_by_default() {
    let settings = [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"), ("WORKER_ADDR", "127.0.0.1:0")];
    let output = binary(&settings).output().await.unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && printed.contains("PAYMENT_PROVIDER is missing"), "{printed}");
}

#[tokio::test]
async fn it_waits_for_the_migrations_and_says_so_once() {
    let database = empty_database().await;
    let settings = [("DATABASE_URL", &*database), ("WORKER_ADDR", "127.0.0.1:0"), ("PAYMENT_PROVIDER", "simulated")];
    let (_worker, mut lines, url) = start(&settings).await;
    assert_eq!(reqwest::get(format!("{url}/health/ready")).await.unwrap().status(), 503);
    assert!(reqwest::get(format!("{url}/health/live")).await.unwrap().status().is_success());
    let mut waits = Vec::new();
    let mut line = async || -> Value { serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap() };
    loop {
        let line = line().await;
        let message = line["message"].as_str().unwrap();
        if message.contains("millrace-api migrate") {
            let db = sqlx::PgPool::connect(&database).await.unwrap();
            shared::migrations::MIGRATOR.run(&db).await.unwrap();
        }
        if ["WARN", "ERROR"].contains(&line["level"].as_str().unwrap()) && !message.starts_with("insecure") {
            waits.push(line.clone());
        }
        if message == "the worker takes jobs" {
            break;
        }
    }
    assert_eq!(waits.len(), 1, "{waits:#?}");
    assert!(reqwest::get(format!("{url}/health/ready")).await.unwrap().status().is_success());
}

#[tokio::test]
async fn it_says_what_is_insecure() {
    let database = new_database().await;
    let settings = [
        ("DATABASE_URL", &*database),
        ("WORKER_ADDR", "127.0.0.1:0"),
        ("PAYMENT_PROVIDER", "simulated"),
        ("SIMULATED_SCRIPTS", "on"),
    ];
    let (_worker, _lines, url) = start(&settings).await;
    let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    for setting in ["PAYMENT_PROVIDER", "SIMULATED_SCRIPTS"] {
        assert!(metrics.contains(&format!("millrace_insecure_settings{{setting=\"{setting}\"}} 1")), "{metrics}");
    }
    let db = sqlx::PgPool::connect(&database).await.unwrap();
    until("the heartbeat has the warnings", async || {
        let warnings: Option<Vec<String>> =
            sqlx::query_scalar("select warnings from workers").fetch_optional(&db).await.unwrap();
        warnings.is_some_and(|warnings| warnings.len() == 2 && warnings[0].starts_with("PAYMENT_PROVIDER=simulated"))
    })
    .await;
}

#[tokio::test]
async fn help_lists_every_setting_of_the_contract_and_no_secret() {
    let secret = format!("postgres://u:{SECRET}@h/d");
    let help = binary(&[("DATABASE_URL", &secret), ("REDIS_URL", &secret)]).arg("--help").output().await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(!help.contains(SECRET));
    for setting in [
        "DATABASE_URL",
        "DATABASE_MAX_CONNECTIONS",
        "REDIS_URL",
        "QUEUE_REDIS_URL",
        "WORKER_ADDR",
        "WORKER_QUEUES",
        "WORKER_CONCURRENCY",
        "JOB_LEASE",
        "JOB_MAX_ATTEMPTS",
        "RETRY_INITIAL",
        "RETRY_MAX",
        "REAPER_SCHEDULE",
        "DELIVERY_DELAY",
        "PAYMENT_PROVIDER",
        "PAYMENT_LATENCY",
        "SIMULATED_SCRIPTS",
        "QUEUE_TRANSPORT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_TRACES_SAMPLER_ARG",
        "LOG_FORMAT",
        "RUST_LOG",
    ] {
        assert!(help.contains(&format!("[env: {setting}")), "{setting} is not in {help}");
    }
}

#[tokio::test]
async fn it_reports_its_health_and_stops_gracefully() {
    let (database, redis) = (new_database().await, redis_url());
    for signal in ["TERM", "INT"] {
        let settings = [
            ("DATABASE_URL", &*database),
            ("REDIS_URL", &*redis),
            ("WORKER_ADDR", "127.0.0.1:0"),
            ("PAYMENT_PROVIDER", "simulated"),
        ];
        let (mut worker, mut lines, url) = start(&settings).await;
        let health = reqwest::get(format!("{url}/health")).await.unwrap().json::<Value>().await.unwrap();
        assert_eq!(health, json!({ "db": "ok", "redis": "ok" }));
        for probe in ["/health/live", "/health/ready"] {
            assert!(reqwest::get(format!("{url}{probe}")).await.unwrap().status().is_success(), "{probe}");
        }
        let addr = url.strip_prefix("http://").unwrap();
        let asked =
            binary(&[("DATABASE_URL", &*database), ("WORKER_ADDR", addr)]).arg("health").status().await.unwrap();
        assert!(asked.success());
        let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("process_cpu_seconds_total"), "{metrics}");

        let sent = Command::new("kill").args(["-s", signal, &worker.id().unwrap().to_string()]).status().await.unwrap();
        assert!(sent.success());
        let mut last = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
            last = line;
        }
        assert!(last.contains("stopped"), "{last}");
        assert_eq!(worker.wait().await.unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn without_its_database_it_is_not_ready_and_keeps_running() {
    let settings = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("WORKER_ADDR", "127.0.0.1:0"),
        ("PAYMENT_PROVIDER", "simulated"),
    ];
    let (mut worker, _lines, url) = start(&settings).await;
    let health = reqwest::get(format!("{url}/health")).await.unwrap();
    assert_eq!(health.status(), 503);
    assert_eq!(health.json::<Value>().await.unwrap(), json!({ "db": "down", "redis": "off" }));
    assert_eq!(reqwest::get(format!("{url}/health/ready")).await.unwrap().status(), 503);
    assert!(reqwest::get(format!("{url}/health/live")).await.unwrap().status().is_success());
    let settings = [settings[0], ("WORKER_ADDR", url.strip_prefix("http://").unwrap())];
    let asked = binary(&settings).arg("health").output().await.unwrap();
    assert!(!asked.status.success() && String::from_utf8(asked.stderr).unwrap().contains("not ready"));
    assert!(worker.try_wait().unwrap().is_none(), "the worker keeps running");
}
