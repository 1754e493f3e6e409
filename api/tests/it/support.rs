//! A whole Millrace API on a database of its own, and people who use it over HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use api::AppState;
use api::config::Cli;
use clap::Parser;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::identity::Role;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::net::TcpListener;
use uuid::Uuid;

/// Only ever signs tokens of tests.
pub const TEST_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICK0wiYbFsopBwLBYPARWckKJ59173Cc2Vfg7GOSjm+S
-----END PRIVATE KEY-----
";

pub const PASSWORD: &str = "correct horse battery";

/// The application's role in the databases of tests, as a URL begins.
const APP: &str = "postgres://millrace_app:app";

pub struct TestApp {
    pub url: String,
    pub metrics_url: String,
    pub database_url: String,
    pub db: PgPool,
    pub state: AppState,
    pub http: reqwest::Client,
}

impl TestApp {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With options on top of the defaults, as on the command line.
    pub async fn with(options: &[&str]) -> Self {
        Self::on(&new_database().await, options).await
    }

    /// Another process, as it were, on a database that is there.
    pub async fn on(database_url: &str, options: &[&str]) -> Self {
        let cli = settings(database_url, options);
        let state = api::serve::state(&cli.common, cli.serve).expect("the settings are fine");
        Self::serve(database_url, state).await
    }

    pub async fn serve(database_url: &str, state: AppState) -> Self {
        let (api, metrics) = (free_port().await, free_port().await);
        let url = format!("http://{}", api.local_addr().unwrap());
        let metrics_url = format!("http://{}", metrics.local_addr().unwrap());
        tokio::spawn(api::serve::serve_on(api, metrics, state.clone()));
        // The test itself may do everything; the process that it tests may not.
        let db = PgPoolOptions::new().max_connections(5).connect(&as_owner(database_url)).await.unwrap();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { url, metrics_url, database_url: database_url.to_owned(), db, state, http }
    }

    /// A request by nobody in particular.
    pub fn anyone(&self) -> Person<'_> {
        Person { app: self, token: None, id: Uuid::nil(), email: String::new() }
    }

    pub async fn customer(&self) -> Person<'_> {
        self.person(Role::Customer).await
    }

    pub async fn staff(&self) -> Person<'_> {
        self.person(Role::Staff).await
    }

    pub async fn admin(&self) -> Person<'_> {
        self.person(Role::Admin).await
    }

    /// The audit, after whatever the test did: nothing may be wrong.
    pub async fn assert_clean(&self) {
        let report = shared::audit::run_to_certainty(&self.db).await.unwrap();
        assert_eq!(report.violations, 0, "the audit found something: {report:#?}");
    }

    /// The audit's part about stock, for tests whose orders are made up.
    pub async fn assert_books_balance(&self) {
        let report = shared::audit::run_to_certainty(&self.db).await.unwrap();
        let stock =
            ["reserved_is_what_reservations_hold", "stock_is_the_sum_of_its_movements", "stock_is_never_negative"];
        let about_stock = report.invariants.iter().filter(|one| stock.contains(&one.name.as_str()));
        assert_eq!(about_stock.map(|one| one.violations).collect::<Vec<_>>(), [0; 3], "{report:#?}");
    }

    /// Somebody new, logged in.
    pub async fn person(&self, role: Role) -> Person<'_> {
        let email = format!("{}@example.com", Uuid::now_v7().simple());
        let user = shared::identity::create_user(
            &self.db,
            email.parse().unwrap(),
            PASSWORD.to_owned().try_into().unwrap(),
            "Some One".parse().unwrap(),
            role,
        )
        .await
        .unwrap();
        let login = self.anyone().post("/v1/auth/login", json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(login.status, StatusCode::OK, "{login:?}");
        let token = login.body["access_token"].as_str().unwrap().to_owned();
        Person { app: self, token: Some(token), id: user.id.0, email }
    }
}

/// Somebody who uses the API.
#[derive(Clone)]
pub struct Person<'a> {
    pub app: &'a TestApp,
    pub token: Option<String>,
    pub id: Uuid,
    pub email: String,
}

impl Person<'_> {
    /// The same with this token.
    pub fn with(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub async fn post_with_key(&self, path: &str, key: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body), &[("idempotency-key", key)]).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(body), &[]).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, Some(body), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None, &[]).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Reply::of(request).await
    }

    /// For what `send` cannot say.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.app.http.request(method, format!("{}{path}", self.app.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Reply {
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the API answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("the answer is whole");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, body, text }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The id of what the answer shows.
    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}"))
    }

    /// Checks that this is a refusal in the one form, with this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{self:#?}");
        self.refused_as_form();
    }

    /// Checks the one form of a refusal, whatever it says.
    #[track_caller]
    pub fn refused_as_form(&self) {
        assert!(self.status.is_client_error() || self.status.is_server_error(), "{self:#?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["type"], format!("urn:millrace:problem:{}", self.code()));
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        assert!(self.body["title"].is_string() && self.body["errors"].is_array(), "{self:#?}");
        assert!(self.body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{self:#?}");
    }

    /// Checks that it was done, with this status.
    #[track_caller]
    pub fn done(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:#?}");
        self
    }
}

/// Waits for a condition, bounded: nothing in a test sleeps and hopes.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, mut condition: F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut pulse = tokio::time::interval(Duration::from_millis(10));
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        pulse.tick().await;
    }
}

pub fn settings(database_url: &str, options: &[&str]) -> Cli {
    let mut fixed = vec!["millrace-api", "--database-url", database_url, "--jwt-private-key", TEST_KEY];
    // Tests change the database themselves, and workers do, and look at once: what is cached may be a moment old.
    if !options.iter().any(|option| option.starts_with("--cache")) {
        fixed.push("--cache=off");
    }
    Cli::try_parse_from(fixed.iter().chain(options)).expect("the options are fine")
}

/// The Redis of the tests.
pub fn redis_url() -> String {
    address("TEST_REDIS_URL")
}

async fn free_port() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

/// A database of its own for a test, copied from a template that is migrated once. The URL is that of API and workers:
/// its role has the privileges of an application, and no more.
pub async fn new_database() -> String {
    let (server, mut admin) = server().await;
    let template = template(&mut admin, &server).await;
    let url = create_database(&server, &mut admin, &template).await;
    let (_, rest) = url.split_once('@').expect("the owner has a password");
    format!("{APP}@{rest}")
}

/// The same database for its owner, who may change the schema and everything in it.
pub fn as_owner(database_url: &str) -> String {
    let server = address("TEST_DATABASE_URL");
    let (owner, _) = server.split_once('@').expect("the owner has a password");
    match database_url.strip_prefix(APP) {
        Some(rest) => format!("{owner}{rest}"),
        None => database_url.to_owned(),
    }
}

/// One that is not migrated yet.
pub async fn empty_database() -> String {
    let (server, mut admin) = server().await;
    create_database(&server, &mut admin, "template1").await
}

async fn create_database(server: &str, admin: &mut PgConnection, template: &str) -> String {
    let name = format!("test_{}", Uuid::now_v7().simple());
    run(admin, format!("create database {name} template {template}")).await;
    url_of(server, &name)
}

async fn server() -> (String, PgConnection) {
    let server = address("TEST_DATABASE_URL");
    let options: PgConnectOptions = server.parse().unwrap();
    let admin = PgConnection::connect_with(&options).await.unwrap();
    (server, admin)
}

async fn template(admin: &mut PgConnection, server: &str) -> String {
    let fingerprint = shared::MIGRATOR.iter().fold(0_u64, |seed, migration| {
        migration.checksum.iter().fold(seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte)))
    });
    let name = format!("template_{fingerprint:016x}");
    sqlx::query("select pg_advisory_lock(7217)").execute(&mut *admin).await.unwrap();
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut *admin)
        .await
        .unwrap();
    if !exists {
        let draft = format!("draft_{}", Uuid::now_v7().simple());
        run(admin, format!("create database {draft}")).await;
        let db = PgPool::connect(&url_of(server, &draft)).await.unwrap();
        shared::platform::db::migrate(&db).await.unwrap();
        run(admin, MAKE_APP_ROLE.to_owned()).await;
        shared::platform::db::roles::grant(&db, "millrace_app").await.unwrap();
        db.close().await;
        run(admin, format!("alter database {draft} rename to {name}")).await;
    }
    sqlx::query("select pg_advisory_unlock(7217)").execute(&mut *admin).await.unwrap();
    name
}

/// Roles belong to the server and not to a database, so another template may have made it.
const MAKE_APP_ROLE: &str = "
    do $$ begin
        create role millrace_app login password 'app';
    exception when duplicate_object then null;
    end $$";

async fn run(admin: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(admin).await.unwrap();
}

fn url_of(server: &str, database: &str) -> String {
    let (base, _) = server.rsplit_once('/').expect("TEST_DATABASE_URL ends with a database");
    format!("{base}/{database}")
}

/// Where a server for tests is.
#[expect(clippy::disallowed_methods, reason = "tests have no settings; ./dev test says where its servers are")]
fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is set by ./dev test"))
}
