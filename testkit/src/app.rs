//! `TestApp`: a whole API on a new database, served in the test's process. The audit runs when the test ends.

use std::net::SocketAddr;
use std::time::Duration;

use api::config::Cli;
use api::serve::Listeners;
use api::state::AppState;
use clap::Parser;
use reqwest::StatusCode;
use serde_json::json;
use shared::principal::Role;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::audit;
use crate::database::{as_owner, new_database};
use crate::person::Person;

/// A key for tests only.
pub const TEST_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICK0wiYbFsopBwLBYPARWckKJ59173Cc2Vfg7GOSjm+S
-----END PRIVATE KEY-----
";

pub const PASSWORD: &str = "correct horse battery";

/// When it is dropped, the audit runs and fails the test if an invariant is violated.
pub struct TestApp {
    pub url: String,
    pub metrics_url: String,
    /// With `--console-addr` only.
    pub console_url: Option<String>,
    pub database_url: String,
    pub db: PgPool,
    pub state: AppState,
    pub http: reqwest::Client,
    audit_on_drop: bool,
}

impl TestApp {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With command-line options on top of the defaults.
    pub async fn with(options: &[&str]) -> Self {
        Self::on(&new_database().await, options).await
    }

    /// On a database that exists already, as a second API process.
    pub async fn on(database_url: &str, options: &[&str]) -> Self {
        let cli = settings(database_url, options);
        let state = api::serve::state(&cli.common, cli.serve).expect("the settings are valid");
        Self::serve(database_url, state).await
    }

    pub async fn serve(database_url: &str, state: AppState) -> Self {
        let (api, metrics) = (free_port().await, free_port().await);
        let console = if state.settings.pages.console_addr.is_some() { Some(free_port().await) } else { None };
        let url = format!("http://{}", api.local_addr().unwrap());
        let metrics_url = format!("http://{}", metrics.local_addr().unwrap());
        let console_url = console.as_ref().map(|listener| format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(api::serve::serve_on(Listeners { api, metrics, console }, state.clone()));
        // The pool of the test has all privileges. The API under test has only those of the application.
        let db = PgPoolOptions::new().max_connections(5).connect(&as_owner(database_url)).await.unwrap();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self {
            url,
            metrics_url,
            console_url,
            database_url: database_url.to_owned(),
            db,
            state,
            http,
            audit_on_drop: true,
        }
    }

    /// No audit at the end, for a test that violates an invariant on purpose. The parameter says why.
    #[must_use]
    pub fn without_audit(mut self, _reason: &'static str) -> Self {
        self.audit_on_drop = false;
        self
    }

    /// A client without a token.
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

    /// Creates a user and logs in.
    pub async fn person(&self, role: Role) -> Person<'_> {
        let email = format!("{}@example.com", Uuid::now_v7().simple());
        let user = shared::identity::users::create_user(
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

    /// Runs the audit during a test.
    pub async fn assert_clean(&self) {
        assert_eq!(audit::broken(&self.db).await, [""; 0], "the audit found violations");
    }

    /// Checks only the invariants about stock, for tests that violate those about orders.
    pub async fn assert_books_balance(&self) {
        let broken = audit::broken(&self.db).await;
        let of_stock: Vec<&String> = broken.iter().filter(|one| audit::is_about_stock(one)).collect();
        assert!(of_stock.is_empty(), "the audit found violations: {of_stock:#?}");
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.db).await.unwrap()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // A test that panics has already reported its failure.
        if self.audit_on_drop && !std::thread::panicking() {
            audit::after_a_test(&self.database_url);
        }
    }
}

pub fn settings(database_url: &str, options: &[&str]) -> Cli {
    let mut fixed = vec!["millrace-api", "--database-url", database_url, "--jwt-private-key", TEST_KEY];
    // The cache is off: tests and workers change the database directly, and a cached answer may be a second old.
    if !options.iter().any(|option| option.starts_with("--cache")) {
        fixed.push("--cache=off");
    }
    Cli::try_parse_from(fixed.iter().chain(options)).expect("the options are valid")
}

async fn free_port() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}
