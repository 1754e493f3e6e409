//! The binary as its operator meets it: settings, commands, logs, signals.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use clap::CommandFactory;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{PASSWORD, TEST_KEY, empty_database, new_database, until};

/// Stands in the settings of every process here, and in nothing that one may print.
const SECRET: &str = "hunter2-is-secret";

/// Nothing that a process of ours is asked to do takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary with these settings and no others. It runs where no `.env` is.
pub fn binary(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-api"));
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command.envs(settings.iter().copied());
    command
}

/// What it takes to serve: free ports, a key, a database.
pub fn enough(database_url: &str) -> Vec<(&str, &str)> {
    vec![
        ("DATABASE_URL", database_url),
        ("JWT_PRIVATE_KEY", TEST_KEY),
        ("API_ADDR", "127.0.0.1:0"),
        ("METRICS_ADDR", "127.0.0.1:0"),
        // The application's role could not.
        ("AUTO_MIGRATE", if database_url.contains("millrace_app") { "false" } else { "true" }),
    ]
}

/// Runs a command that ends by itself, and sees that it prints no secret.
pub fn run(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary is there");
    let printed = format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_no_secret(&printed);
    (status.success(), printed)
}

fn assert_no_secret(printed: &str) {
    let key = TEST_KEY.lines().nth(1).unwrap();
    for secret in [SECRET, key, PASSWORD] {
        assert!(!printed.contains(secret), "a secret is printed: {printed}");
    }
}

/// An API that serves until it is stopped or dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    pub seen: Vec<String>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("the binary is there");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Starts it, and waits until it says where it listens.
    pub fn serve(database_url: &str) -> (Self, String) {
        let mut process = Self::start(&mut binary(&enough(database_url)));
        let url = process.url();
        (process, url)
    }

    pub fn url(&mut self) -> String {
        let line = self.line("the API listens");
        let addr = serde_json::from_str::<Value>(&line).unwrap()["addr"].as_str().unwrap().to_owned();
        assert!(!addr.ends_with(":0"), "{line}");
        format!("http://{addr}")
    }

    /// Waits for a line of the log that holds this.
    pub fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with `{text}` in {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end. Everything that it logged is in `seen` then.
    pub async fn end(&mut self) -> ExitStatus {
        until("the process ends", async || self.child.try_wait().unwrap().is_some()).await;
        self.seen.extend(self.lines.iter());
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

// ---- settings --------------------------------------------------------------------------------

#[tokio::test]
async fn a_wrong_or_missing_setting_stops_the_start_with_a_sentence_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let database = format!("postgres://millrace:{SECRET}@127.0.0.1:1/millrace");
    let secret_redis = format!("redes://:{SECRET}@127.0.0.1");
    let secret_key = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n");
    let elliptic_curve_key = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgY7JW+WJe13x7KICq
usA2oT3JvCHJa54Ok3EDaDSlGwOhRANCAARo0NVK8j87QmasCm5CzsSyrJ7b/14C
kDQgG+y/QLF7XyIydj1aAdfKXgoQuGST+nVXMSqrEADhRZ/GL7RxjWOZ
-----END PRIVATE KEY-----
";
    for (setting, value) in [
        ("DATABASE_URL", None),
        ("DATABASE_URL", Some("")),
        ("DATABASE_URL", Some(SECRET)),
        ("DATABASE_URL", Some("mysql://root:hunter2-is-secret@127.0.0.1/shop")),
        ("DATABASE_URL", Some("postgres://root:hunter2-is-secret@one,/shop")),
        ("DATABASE_URL", Some(&*database)),
        ("DATABASE_MAX_CONNECTIONS", Some("0")),
        ("DATABASE_MAX_CONNECTIONS", Some("many")),
        ("REDIS_URL", Some(&secret_redis)),
        ("QUEUE_REDIS_URL", Some(&secret_redis)),
        ("CACHE_REDIS_URL", Some("127.0.0.1:6379")),
        ("API_ADDR", Some("8080")),
        ("API_ADDR", Some(&*taken)),
        ("METRICS_ADDR", Some("nowhere:http")),
        ("METRICS_ADDR", Some(&*taken)),
        ("AUTO_MIGRATE", Some("perhaps")),
        ("JWT_PRIVATE_KEY", None),
        ("JWT_PRIVATE_KEY", Some("")),
        ("JWT_PRIVATE_KEY", Some(SECRET)),
        ("JWT_PRIVATE_KEY", Some(&*secret_key)),
        ("JWT_PRIVATE_KEY", Some(elliptic_curve_key)),
        ("JWT_PREVIOUS_PUBLIC_KEYS", Some("not a key")),
        ("ACCESS_TOKEN_TTL", Some("15")),
        ("ACCESS_TOKEN_TTL", Some("0s")),
        ("REFRESH_TOKEN_TTL", Some("a week")),
        ("SESSION_MAX_AGE", Some("-1d")),
        ("RESERVATION_TTL", Some("")),
        ("JOB_MAX_ATTEMPTS", Some("0")),
        ("MAX_OPEN_ORDERS", Some("-1")),
        ("MAX_PLACEMENTS_IN_FLIGHT", Some("0")),
        ("RATE_LIMITS", Some("sometimes")),
        ("RATE_LIMIT_LOGIN", Some("10")),
        ("RATE_LIMIT_READ", Some("0/1m")),
        ("RATE_LIMIT_WRITE", Some("10/0s")),
        ("CACHE", Some("perhaps")),
        ("CACHE_LOCAL_TTL", Some("1m")),
        ("CACHE_TTL", Some("0s")),
        ("CACHE_LOW_STOCK_TTL", Some("soon")),
        ("TRUSTED_PROXIES", Some("10.0.0.0/64")),
        ("MAX_CONNECTIONS", Some("0")),
        ("CORS_ORIGINS", Some("shop.example")),
        ("CORS_ORIGINS", Some("https://shop.example/")),
        ("TLS_CERT", Some("/nowhere/cert.pem")), // Without a key.
        ("TLS_KEY", Some("/nowhere/key.pem")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some("127.0.0.1:4318")),
        ("OTEL_TRACES_SAMPLER_ARG", Some("2")),
        ("LOG_FORMAT", Some("xml")),
        ("RUST_LOG", Some("millrace=loudly")),
    ] {
        let mut settings: BTreeMap<&str, &str> = enough(&database).into_iter().collect();
        match value {
            Some(value) => settings.insert(setting, value),
            None => settings.remove(setting),
        };
        let settings: Vec<(&str, &str)> = settings.into_iter().collect();
        let (started, printed) = run(&mut binary(&settings));
        assert!(!started && printed.contains(setting), "{setting}={value:?}: {printed}");
        assert!(!printed.contains("panicked"), "{setting}={value:?}: {printed}");
    }
}

#[test]
fn a_key_file_that_cannot_be_read_or_holds_no_key_is_named() {
    for (file, why) in [("/nowhere/jwt.pem", "/nowhere/jwt.pem"), ("/etc/hostname", "JWT_PRIVATE_KEY")] {
        let settings = [
            ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
            ("JWT_PRIVATE_KEY_FILE", file),
            ("API_ADDR", "127.0.0.1:0"),
            ("METRICS_ADDR", "127.0.0.1:0"),
        ];
        let (started, printed) = run(&mut binary(&settings));
        assert!(!started && printed.contains("JWT_PRIVATE_KEY") && printed.contains(why), "{printed}");
    }
}

#[tokio::test]
async fn settings_are_read_from_a_file_and_the_environment_comes_first() {
    let dir = std::env::temp_dir().join(format!("millrace-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&dir).unwrap();
    let key = TEST_KEY.trim_end();
    let lines = format!(
        "API_ADDR=127.0.0.1:0\nMETRICS_ADDR=127.0.0.1:0\nJWT_PRIVATE_KEY=\"{key}\"\nRATE_LIMITS=maybe\nAUTO_MIGRATE=false\n"
    );
    std::fs::write(dir.join(".env"), &lines).unwrap();
    let database = new_database().await;
    let (started, printed) = run(binary(&[("DATABASE_URL", &database)]).current_dir(&dir));
    assert!(!started && printed.contains("RATE_LIMITS"), "{printed}");

    let mut process = Process::start(binary(&[("DATABASE_URL", &database), ("RATE_LIMITS", "off")]).current_dir(&dir));
    process.url();

    std::fs::write(dir.join(".env"), format!("DATABASE_URL={SECRET} and {SECRET}\n{SECRET}'\n")).unwrap();
    let (started, printed) = run(binary(&[]).current_dir(&dir));
    assert!(!started && printed.contains(".env"), "{printed}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn help_lists_every_setting_of_the_contract_and_no_secret() {
    let secret_url = format!("postgres://u:{SECRET}@h/d");
    let mut command = binary(&[
        ("DATABASE_URL", &secret_url),
        ("REDIS_URL", &secret_url),
        ("QUEUE_REDIS_URL", &secret_url),
        ("CACHE_REDIS_URL", &secret_url),
        ("JWT_PRIVATE_KEY", TEST_KEY),
        ("MILLRACE_PASSWORD", PASSWORD),
    ]);
    let (fine, help) = run(command.arg("--help"));
    assert!(fine);
    for setting in [
        "DATABASE_URL",
        "DATABASE_MAX_CONNECTIONS",
        "REDIS_URL",
        "QUEUE_REDIS_URL",
        "CACHE_REDIS_URL",
        "API_ADDR",
        "METRICS_ADDR",
        "JWT_PRIVATE_KEY",
        "JWT_PRIVATE_KEY_FILE",
        "JWT_PREVIOUS_PUBLIC_KEYS",
        "ACCESS_TOKEN_TTL",
        "REFRESH_TOKEN_TTL",
        "SESSION_MAX_AGE",
        "RESERVATION_TTL",
        "JOB_MAX_ATTEMPTS",
        "MAX_OPEN_ORDERS",
        "RATE_LIMITS",
        "CACHE",
        "CACHE_LOCAL_TTL",
        "TRUSTED_PROXIES",
        "MAX_CONNECTIONS",
        "TLS_CERT",
        "TLS_KEY",
        "CORS_ORIGINS",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_TRACES_SAMPLER_ARG",
        "LOG_FORMAT",
        "RUST_LOG",
        "AUTO_MIGRATE",
    ] {
        assert!(help.contains(&format!("[env: {setting}")), "{setting} is not in {help}");
    }
    for command in ["serve", "migrate", "seed", "create-user"] {
        assert!(help.contains(&format!("  {command}")), "{command} is not in {help}");
        let (fine, help) = run(binary(&[("MILLRACE_PASSWORD", PASSWORD)]).args([command, "--help"]));
        assert!(fine && help.contains("Usage:"), "{help}");
    }
}

/// `.env.example` is for people: its comments may differ from the help, its settings and defaults may not.
#[test]
fn the_example_of_settings_lists_exactly_what_the_binaries_take() {
    let example = include_str!("../../../.env.example");
    let listed: BTreeMap<&str, &str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .collect();
    let mut known = BTreeMap::new();
    for command in [api::config::Cli::command(), worker::config::Cli::command()] {
        for argument in command.get_arguments() {
            let Some(name) = argument.get_env() else { continue };
            let default: Vec<&str> =
                argument.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
            let name = name.to_str().unwrap().to_owned();
            let default = default.join(",");
            if let Some(other) = known.insert(name.clone(), default.clone()) {
                assert_eq!(other, default, "the binaries differ in the default of {name}");
            }
        }
    }
    let names = |all: BTreeSet<&str>| all.into_iter().map(ToOwned::to_owned).collect::<BTreeSet<String>>();
    assert_eq!(names(listed.keys().copied().collect()), names(known.keys().map(String::as_str).collect()));
    for (name, default) in known.iter().filter(|(_, default)| !default.is_empty()) {
        assert_eq!(listed[name.as_str()], default, "{name}");
    }
}

// ---- commands --------------------------------------------------------------------------------

/// Relations, functions and types that are neither Postgres's nor sqlx's own.
const LEFT_BEHIND: &str = "
    with ours as (select oid from pg_namespace where nspname !~ '^(pg_|information_schema$)')
    select oid::regclass::text from pg_class where relnamespace in (select * from ours) and relname !~ '^_sqlx_migrations'
    union all select oid::regprocedure::text from pg_proc where pronamespace in (select * from ours)
    union all select oid::regtype::text from pg_type where typnamespace in (select * from ours) and typname !~ '_sqlx_migrations'
    union all select nspname from pg_namespace where oid in (select * from ours) and nspname <> 'public'";

#[tokio::test]
async fn migrations_go_up_down_and_up_again() {
    let database = empty_database().await;
    let settings = [("DATABASE_URL", database.as_str())];
    let migrations = shared::MIGRATOR.iter().filter(|migration| migration.migration_type.is_up_migration()).count();
    let mut db = PgConnection::connect(&database).await.unwrap();
    for (arguments, version, tables) in [
        (&["migrate"][..], migrations, true),
        (&["migrate"], migrations, true),
        (&["migrate", "--down", "1"], migrations - 1, true),
        (&["migrate", "--down", "2"], migrations - 3, true),
        (&["migrate"], migrations, true),
        (&["migrate", "--down", "1000"], 0, false),
        (&["migrate", "--down", "1"], 0, false),
        (&["migrate"], migrations, true),
    ] {
        let (fine, printed) = run(binary(&settings).args(arguments));
        assert!(fine && printed.contains(&format!("version {version}\n")), "{arguments:?}: {printed}");
        let users: bool =
            sqlx::query_scalar("select to_regclass('users') is not null").fetch_one(&mut db).await.unwrap();
        assert_eq!(users, tables, "{arguments:?}");
        if version == 0 {
            let left: Vec<String> = sqlx::query_scalar(LEFT_BEHIND).fetch_all(&mut db).await.unwrap();
            assert!(left.is_empty(), "the way down leaves these behind: {left:?}");
        }
    }
}

#[tokio::test]
async fn the_first_administrator_is_made_and_logs_in() {
    let database = new_database().await;
    let (_process, url) = Process::serve(&database);
    let make = |arguments: &[&str], password: &str| {
        let settings = [("DATABASE_URL", database.as_str()), ("MILLRACE_PASSWORD", password)];
        run(binary(&settings).arg("create-user").args(arguments))
    };
    let (fine, printed) = make(&["--email=root@example.com", "--role=admin"], PASSWORD);
    assert!(fine && printed.contains("admin"), "{printed}");

    let login = json!({ "email": "root@example.com", "password": PASSWORD });
    let http = reqwest::Client::new();
    let login: Value =
        http.post(format!("{url}/v1/auth/login")).json(&login).send().await.unwrap().json().await.unwrap();
    let users = http.get(format!("{url}/v1/users")).bearer_auth(login["access_token"].as_str().unwrap());
    assert_eq!(users.send().await.unwrap().status(), StatusCode::OK);

    for (arguments, password, why) in [
        (&["--email=ROOT@example.com", "--role=admin"][..], PASSWORD, "e-mail"),
        (&["--email=not-an-address"], PASSWORD, "--email"),
        (&["--email=a@example.com", "--role=king"], PASSWORD, "--role"),
        (&["--email=a@example.com"], "short", "8 characters"),
    ] {
        let (fine, printed) = make(arguments, password);
        assert!(!fine && printed.contains(why), "{arguments:?}: {printed}");
    }
    let (fine, printed) = run(binary(&[("DATABASE_URL", &database)]).args(["create-user", "--email=a@example.com"]));
    assert!(!fine && printed.contains("--password"), "{printed}");
    let mut db = PgConnection::connect(&database).await.unwrap();
    let users: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(&mut db).await.unwrap();
    assert_eq!(users, 1);
}

#[tokio::test]
async fn the_demo_shop_is_loaded_once() {
    let database = new_database().await;
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/../seed");
    let load = |dir: &str| run(binary(&[("DATABASE_URL", &database)]).args(["seed", dir]));
    let (fine, first) = load(seed);
    assert!(fine, "{first}");
    let (fine, second) = load(seed);
    assert!(fine && second != first, "{second}");
    let (fine, printed) = load("/nowhere");
    assert!(!fine && printed.contains("/nowhere"), "{printed}");
}

#[tokio::test]
async fn migrations_can_be_left_to_the_deployment() {
    let database = empty_database().await;
    let mut settings = enough(&database);
    settings.push(("AUTO_MIGRATE", "false"));
    let mut process = Process::start(&mut binary(&settings));
    let url = process.url();
    assert_eq!(reqwest::get(format!("{url}/health/live")).await.unwrap().status(), StatusCode::OK);
    let mut db = PgConnection::connect(&database).await.unwrap();
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(tables, 0);
}

// ---- life ------------------------------------------------------------------------------------

#[tokio::test]
async fn two_that_start_at_once_on_an_empty_database_both_come_up() {
    let database = empty_database().await;
    let mut both = [(); 2].map(|()| Process::start(&mut binary(&enough(&database))));
    for process in &mut both {
        let ready = format!("{}/health/ready", process.url());
        assert_eq!(reqwest::get(ready).await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn logs_are_lines_of_json_that_name_the_request_and_hold_no_secret() {
    let database = new_database().await;
    let (mut process, url) = Process::serve(&database);
    let http = reqwest::Client::new();
    let account = json!({ "email": "alice@example.com", "password": PASSWORD, "name": "Alice" });
    let register = http.post(format!("{url}/v1/auth/register")).header("x-request-id", "first").json(&account);
    assert_eq!(register.send().await.unwrap().status(), StatusCode::CREATED);
    let login = json!({ "email": "alice@example.com", "password": PASSWORD });
    let login = http.post(format!("{url}/v1/auth/login")).header("x-request-id", "second").json(&login);
    let tokens: Value = login.send().await.unwrap().json().await.unwrap();
    let token = tokens["access_token"].as_str().unwrap();
    let third = http.get(format!("{url}/v1/orders?{SECRET}=1")).header("x-request-id", "third").bearer_auth(token);
    assert_eq!(third.send().await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);

    let third: Value = serde_json::from_str(&process.line("third")).unwrap();
    assert_eq!(third["level"], "INFO");
    assert_eq!(third["status"], 422);
    assert_eq!(third["request_id"], "third");
    assert_eq!(third["route"], "/v1/orders");
    assert!(third["user_id"].is_string(), "{third}");
    assert!(third["timestamp"].as_str().unwrap().ends_with('Z'), "{third}");

    process.signal("TERM");
    process.end().await;
    let logged = process.seen.join("\n");
    for line in &process.seen {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line["message"].is_string()), "{line}");
    }
    for request in ["first", "second", "third"] {
        assert!(logged.contains(&format!(r#""request_id":"{request}""#)), "{request}: {logged}");
    }
    assert_no_secret(&logged);
    for secret in [token, tokens["refresh_token"].as_str().unwrap(), "alice@example.com"] {
        assert!(!logged.contains(secret), "{secret} is in {logged}");
    }
}

#[tokio::test]
async fn asked_to_stop_it_ends_well_and_asked_again_at_once() {
    let database = new_database().await;
    for signal in ["TERM", "INT"] {
        let (mut process, url) = Process::serve(&database);
        assert_eq!(reqwest::get(format!("{url}/health")).await.unwrap().status(), StatusCode::OK);
        process.signal(signal);
        assert_eq!(process.end().await.code(), Some(0));
        assert!(process.seen.last().unwrap().contains("stopped"), "{:#?}", process.seen);
    }

    let (mut process, url) = Process::serve(&database);
    let mut endless = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let half =
        b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    endless.write_all(half).await.unwrap();
    process.signal("TERM");
    process.line("asked to stop");
    process.signal("TERM");
    assert_eq!(process.end().await.code(), Some(1));
}
