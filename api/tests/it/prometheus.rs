//! Alert rules, runbook and dashboards, with a real Prometheus that scrapes a real API and a real worker, and a real
//! Alertmanager that calls somebody.

use std::collections::BTreeSet;
use std::net::TcpListener as Port;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::{Json, Router};
use clap::Parser;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::platform::http::limits::Limits;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;
use worker::config::Cli;
use worker::context::Context;
use worker::{Vitals, fleet};

use crate::deploy::{read, root, said, yaml};
use testkit::app::TestApp;
use testkit::until::until;

const RULES: &str = "deploy/prometheus/rules.yml";
const RULE_TESTS: &str = "deploy/prometheus/rules.test.yml";
const RUNBOOK: &str = "docs/runbook.md";
/// How often the queries of the panels are repeated, once a second: a rate needs two scrapes, and some gauges change
/// rarely.
const ROUNDS: u32 = 30;

#[test]
fn promtool_is_content_with_rules_and_settings_and_every_case_of_the_rules_holds() {
    for arguments in [
        &["check", "config", "deploy/prometheus/prometheus.yml"][..],
        &["check", "rules", RULES],
        &["test", "rules", RULE_TESTS],
    ] {
        let output = Command::new("promtool").args(arguments).current_dir(root()).output();
        let output = output.expect("./dev test installs promtool");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
}

fn items<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    of[key].as_array().into_iter().flatten()
}

fn text(of: &Value) -> String {
    of.as_str().unwrap_or_else(|| panic!("{of} is no text")).to_owned()
}

/// Alertmanager's settings, as Compose writes them with these variables.
fn alertmanager_settings(variables: &[(&str, &str)]) -> String {
    let compose = yaml("docker-compose.yml").remove(0);
    let mut settings = text(&compose["services"]["alertmanager"]["environment"]["SETTINGS"]);
    while let Some((before, rest)) = settings.split_once("${") {
        let (expression, after) = rest.split_once('}').unwrap();
        let (name, default) = expression.split_once(":-").expect("each variable has a default");
        let value = variables.iter().find(|(known, _)| *known == name).map_or(default, |(_, value)| value);
        settings = format!("{before}{value}{after}");
    }
    settings
}

#[test]
fn amtool_is_content_with_every_way_to_call_somebody() {
    for by in ["nobody", "mail", "webhook"] {
        let file = std::env::temp_dir().join(format!("alertmanager-{}.yml", Uuid::now_v7()));
        std::fs::write(&file, alertmanager_settings(&[("ALERTS_BY", by)])).unwrap();
        let output =
            Command::new("amtool").arg("check-config").arg(&file).output().expect("./dev test installs amtool");
        assert!(output.status.success(), "{by}: {}", said(&output));
        std::fs::remove_file(file).unwrap();
    }
}

/// The rules that are alerts.
fn alerts() -> Vec<Value> {
    let rules = yaml(RULES).remove(0);
    items(&rules, "groups")
        .flat_map(|group| items(group, "rules"))
        .filter(|it| it["alert"].is_string())
        .cloned()
        .collect()
}

#[test]
fn every_alert_has_cases_a_severity_and_its_section_in_the_runbook_and_no_section_is_left_over() {
    let (alerts, cases, runbook) = (alerts(), yaml(RULE_TESTS).remove(0), read(RUNBOOK));
    let (runbook, _) = runbook.split_once("\n# Keys and passwords\n").expect("what no alert asks for comes last");
    let cases: Vec<&Value> = items(&cases, "tests").flat_map(|test| items(test, "alert_rule_test")).collect();
    for alert in &alerts {
        let name = text(&alert["alert"]);
        assert_eq!(alert["annotations"]["runbook"], format!("{RUNBOOK}#{}", name.to_lowercase()), "{name}");
        assert!(["page", "ticket"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
        for (speaks, how) in [(true, "speaks"), (false, "is silent")] {
            let case = |it: &&&Value| it["alertname"] == *name && (items(it, "exp_alerts").count() > 0) == speaks;
            assert!(cases.iter().any(|it| case(&it)), "no case in which {name} {how}");
        }
    }
    let names: BTreeSet<String> = alerts.iter().map(|alert| text(&alert["alert"])).collect();
    let sections = |text: &str| text.lines().filter_map(|line| Some(line.strip_prefix("## ")?.to_owned())).collect();
    let sections: BTreeSet<String> = sections(runbook);
    assert_eq!(sections, names);
    for section in runbook.split("\n## ").skip(1) {
        for part in ["**Means** ", "**Look** ", "**Do** "] {
            assert!(section.contains(part), "no {part} in {section}");
        }
        for link in section.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert!(names.iter().any(|name| name.to_lowercase() == link), "#{link} leads nowhere");
        }
    }
}

/// Operators copy these commands during an incident.
#[tokio::test]
async fn the_runbook_names_routes_and_settings_that_exist() {
    let app = TestApp::new().await;
    let described = app.anyone().get("/openapi.json").await.done(200).body;
    let runbook = read(RUNBOOK);
    let mut asked = 0;
    for line in runbook.lines().filter(|line| line.contains("$API/v1/")) {
        let path = line.split("$API").nth(1).unwrap().split([' ', '"', '`', '?', ')']).next().unwrap();
        let path = path
            .replace("$ID", "{id}")
            .replace("/queues/high/", "/queues/{name}/")
            .replace("/queues/low/", "/queues/{name}/");
        let method = if line.contains("-X POST") || path.ends_with("/login") { "post" } else { "get" };
        assert!(described["paths"][&path][method].is_object(), "{method} {path} is not there");
        for pair in line.split_once('?').map_or("", |(_, query)| query.split(['"', '`']).next().unwrap()).split('&') {
            let name = pair.split('=').next().unwrap();
            let known = items(&described["paths"][&path][method], "parameters").any(|it| it["name"] == name);
            assert!(name.is_empty() || known, "{path} has no parameter {name}");
        }
        asked += 1;
    }
    assert!(asked > 15, "{asked}");
}

/// The panels of the dashboards: their names and their queries.
fn panels() -> Vec<(String, String)> {
    let provisioned = yaml("deploy/grafana/provisioning/datasources/prometheus.yml").remove(0);
    let (mut uids, mut found) = (BTreeSet::new(), Vec::new());
    for file in ["orders", "jobs", "api", "stock"] {
        let board: Value = serde_json::from_str(&read(&format!("deploy/grafana/dashboards/{file}.json"))).unwrap();
        assert!(uids.insert(text(&board["uid"])), "{file}: two dashboards would be one");
        for panel in items(&board, "panels") {
            let place = format!("{file}: {}", text(&panel["title"]));
            assert_eq!(panel["datasource"]["uid"], provisioned["datasources"][0]["uid"], "{place}");
            let right = panel["gridPos"]["x"].as_u64().unwrap() + panel["gridPos"]["w"].as_u64().unwrap();
            assert!(right <= 24, "{place} leaves the page");
            let before = found.len();
            found.extend(items(panel, "targets").map(|target| (place.clone(), text(&target["expr"]))));
            assert!(found.len() > before, "{place} asks nothing");
        }
    }
    found
}

/// A Prometheus process with its own folder, which ends when this is dropped.
struct Prometheus {
    process: Child,
    folder: PathBuf,
    url: String,
    http: reqwest::Client,
}

impl Prometheus {
    /// With our rules, these two targets, and an Alertmanager.
    fn start(api: &str, worker: &str, alertmanager: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("prometheus-{}", Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let settings = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [root().join(RULES)],
            "alerting": { "alertmanagers": [{ "static_configs": [{ "targets": [alertmanager] }] }] },
            "scrape_configs": [
                { "job_name": "millrace-api", "static_configs": [{ "targets": [api] }] },
                { "job_name": "millrace-worker", "static_configs": [{ "targets": [worker] }] },
            ],
        });
        // JSON is YAML.
        std::fs::write(folder.join("prometheus.yml"), settings.to_string()).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .spawn()
            .expect("./dev test installs Prometheus");
        Self { process, folder, url: format!("http://{address}"), http: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> Value {
        let Ok(answer) = self.http.get(format!("{}{path}", self.url)).send().await else { return Value::Null };
        answer.json().await.unwrap_or_default()
    }

    /// The result of an expression. Empty if there is no data yet.
    async fn query(&self, expr: &str) -> Vec<Value> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", expr).finish();
        let answer = self.get(&format!("/api/v1/query?{query}")).await;
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        items(&answer["data"], "result").cloned().collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// An Alertmanager process, and what it sends to a webhook.
struct Alertmanager {
    process: Child,
    folder: PathBuf,
    address: String,
    calls: mpsc::UnboundedReceiver<Value>,
}

impl Alertmanager {
    async fn start() -> Self {
        let (call, calls) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let webhook = format!("http://{}/", listener.local_addr().unwrap());
        let receive = Router::new().fallback(async move |Json(sent): Json<Value>| drop(call.send(sent)));
        tokio::spawn(async { axum::serve(listener, receive).await });
        let folder = std::env::temp_dir().join(format!("alertmanager-{}", Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let settings = alertmanager_settings(&[("ALERTS_BY", "webhook"), ("ALERT_WEBHOOK_URL", &webhook)]);
        let settings = settings.replace("group_wait: 10s", "group_wait: 0s");
        std::fs::write(folder.join("alertmanager.yml"), settings).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let program = ["prometheus-alertmanager", "alertmanager"]; // Debian's name, and its own
        let start = |program: &str| {
            Command::new(program)
                .arg(format!("--config.file={}", folder.join("alertmanager.yml").display()))
                .arg(format!("--storage.path={}", folder.join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .args(["--cluster.listen-address=", "--log.level=warn"])
                .stdin(Stdio::null())
                .spawn()
        };
        let process = program.iter().find_map(|program| start(program).ok()).expect("./dev test installs Alertmanager");
        Self { process, folder, address, calls }
    }

    /// Waits until somebody is called because of an alert.
    async fn called(&mut self, name: &str) -> Value {
        let call = async {
            loop {
                let call = self.calls.recv().await.expect("the receiver runs");
                let alerts: Vec<Value> = items(&call, "alerts").cloned().collect();
                if let Some(alert) = alerts.into_iter().find(|alert| alert["labels"]["alertname"] == name) {
                    return alert;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), call).await.expect("somebody is called within a minute")
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// A free port, because neither prints the port that it took. It is below the kernel's range of ephemeral ports.
fn free_port() -> u16 {
    loop {
        let port = 20_000 + u16::try_from(Uuid::new_v4().as_u128() % 10_000).expect("it is small");
        if Port::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[tokio::test]
async fn a_real_prometheus_finds_both_evaluates_every_rule_fills_every_panel_and_calls_when_the_books_are_wrong() {
    let app = TestApp::with(&["--max-unpaid-share=0", "--max-unpaid-units=0"]).await;
    let app = app.without_audit("it damages an order, so that the audit finds it");
    app.product("mug", 1250, 100).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let worker = start_worker(&app).await;
    let mut alertmanager = Alertmanager::start().await;
    let api = app.metrics_url.strip_prefix("http://").unwrap();
    let prometheus = Prometheus::start(api, &worker, &alertmanager.address);
    until("both targets are up", async || {
        let targets = prometheus.get("/api/v1/targets").await;
        items(&targets["data"], "activeTargets").filter(|target| target["health"] == "up").count() == 2
    })
    .await;

    for _ in 0..5 {
        alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    }
    alice.place(json!([{ "sku": "mug", "quantity": 1000 }])).await.refused(409, "insufficient_stock");
    staff.post("/v1/inventory/reaper", json!({})).await.done(200);
    app.assert_clean().await;

    let mut empty = panels();
    let scaler = yaml("deploy/kubernetes/base/worker-scaling.yaml").remove(0);
    empty.push(("the scaler".to_owned(), text(&scaler["spec"]["triggers"][0]["metadata"]["query"])));
    let total = empty.len();
    let mut pulse = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..ROUNDS {
        let mut still = Vec::new();
        for (place, expr) in empty {
            if prometheus.query(&expr.replace("$__rate_interval", "1m")).await.is_empty() {
                still.push((place, expr));
            }
        }
        empty = still;
        if empty.is_empty() {
            break;
        }
        pulse.tick().await;
    }
    assert!(empty.is_empty(), "these show nothing: {empty:#?}");
    assert!(total > 50, "{total}");

    let all = prometheus.get("/api/v1/rules").await;
    let rules: Vec<&Value> = items(&all["data"], "groups").flat_map(|group| items(group, "rules")).collect();
    assert_eq!(rules.iter().filter(|rule| rule["type"] == "alerting").count(), alerts().len());
    for rule in rules {
        assert_eq!((&rule["health"], rule.get("lastError")), (&json!("ok"), None), "{rule:#}");
        assert_ne!(rule["state"], "firing", "{rule:#}");
    }
    // Printed for information: the duration of a scrape while tests run.
    println!("scrapes took {:?} s", prometheus.query("max_over_time(scrape_duration_seconds[1m])").await);

    sqlx::query("update orders set total_minor = total_minor + 1").execute(&app.db).await.unwrap();
    shared::audit::run_to_certainty(&mut app.db.acquire().await.unwrap(), Uuid::now_v7()).await.unwrap();
    let call = alertmanager.called("MillraceAuditViolation").await;
    assert_eq!((&call["status"], &call["labels"]["severity"]), (&json!("firing"), &json!("page")));
    assert_eq!(call["annotations"]["runbook"], "docs/runbook.md#millraceauditviolation");
}

/// Starts a worker with its schedules, and returns the address of its metrics.
async fn start_worker(app: &TestApp) -> String {
    // Orders stay in `shipped`, so that open orders hold some money.
    let options = ["--payment-latency", "1ms", "--delivery-delay", "1h", "--reaper-schedule", "* * * * * *"];
    let cli = ["millrace-worker", "--database-url", &app.database_url, "--payment-provider=simulated"];
    let cli = Cli::try_parse_from(cli.iter().chain(&options)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ctx = Context::connect(&cli.common.database().unwrap(), &cli.common, &cli.work).unwrap();
    let vitals = Vitals::new(&ctx, Vec::new()).unwrap();
    tokio::spawn(worker::serve::serve(listener, vitals.clone(), Limits::default()));
    tokio::spawn(async move { fleet::run(ctx, &cli.work, &vitals).await });
    let ready = reqwest::get(format!("http://{address}/health/ready")).await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    address
}
