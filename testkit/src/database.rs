//! Creates a database for each test, on the servers that `./dev test` starts.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::proxy::Proxy;

/// The URL of the tests' Redis.
pub fn redis_url() -> String {
    address("TEST_REDIS_URL")
}

/// Name and password of the application's role, as a URL contains them.
const APP: &str = "postgres://millrace_app:app";

/// Creates the role unless it exists: roles belong to the server, so another template may have created it.
const MAKE_APP_ROLE: &str = "
    do $$ begin
        create role millrace_app login password 'app';
    exception when duplicate_object then null;
    end $$";

/// Creates a database from a migrated template. The URL is for API and workers: its role has only the privileges of the
/// application.
pub async fn new_database() -> String {
    let (server, mut admin) = server().await;
    let template = template(&mut admin, &server).await;
    let url = create_database(&server, &mut admin, &template).await;
    let (_, rest) = url.split_once('@').expect("the owner has a password");
    format!("{APP}@{rest}")
}

/// The same database for its owner, who has all privileges.
pub fn as_owner(database_url: &str) -> String {
    let server = address("TEST_DATABASE_URL");
    let (owner, _) = server.split_once('@').expect("the owner has a password");
    match database_url.strip_prefix(APP) {
        Some(rest) => format!("{owner}{rest}"),
        None => database_url.to_owned(),
    }
}

/// Creates a database without our migrations.
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
    let fingerprint = shared::migrations::MIGRATOR.iter().fold(0_u64, |seed, migration| {
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
        shared::platform::db::migrate::up(&db, &shared::migrations::MIGRATOR).await.unwrap();
        run(admin, MAKE_APP_ROLE.to_owned()).await;
        shared::platform::db::roles::grant(&db, "millrace_app").await.unwrap();
        db.close().await;
        run(admin, format!("alter database {draft} rename to {name}")).await;
    }
    sqlx::query("select pg_advisory_unlock(7217)").execute(&mut *admin).await.unwrap();
    name
}

async fn run(admin: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(admin).await.unwrap();
}

/// The URL of the same database without the proxy.
pub fn direct_url(database_url: &str) -> String {
    let (_, database) = database_url.rsplit_once('/').expect("a URL ends with a database");
    url_of(&address("TEST_DATABASE_URL"), database.split('?').next().unwrap_or_default())
}

/// Starts a proxy in front of the database. Returns the proxy and the URL that leads through it.
pub async fn through_a_proxy(database_url: &str) -> (Proxy, String) {
    let options: PgConnectOptions = database_url.parse().unwrap();
    let upstream = tokio::net::lookup_host((options.get_host(), options.get_port())).await.unwrap().next().unwrap();
    let proxy = Proxy::start(upstream).await.unwrap();
    let (credentials, rest) = database_url.split_once('@').unwrap();
    let (_, database) = rest.split_once('/').unwrap();
    let url = format!("{credentials}@{}/{database}?sslmode=disable", proxy.addr);
    (proxy, url)
}

fn url_of(server: &str, database: &str) -> String {
    let (base, _) = server.rsplit_once('/').expect("TEST_DATABASE_URL ends with a database");
    format!("{base}/{database}")
}

/// The address of a test server, from the environment.
#[expect(clippy::disallowed_methods, reason = "tests have no settings; ./dev test says where its servers are")]
fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is missing; run the tests with ./dev test"))
}
