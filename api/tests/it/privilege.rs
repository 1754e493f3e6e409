//! The privileges of the application's database role. It may do everything that API and workers need. It may not change
//! the schema or the rows of the ledger.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Parser;
use serde_json::{Value, json};
use shared::platform::db::roles::PRIVILEGES;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use worker::Vitals;
use worker::config::Cli;
use worker::context::Context;
use worker::fleet;

use crate::deploy::{read, root, said};
use crate::process::{binary, run};
use testkit::app::TestApp;
use testkit::database::{as_owner, empty_database, new_database};
use testkit::until::until;

// ---- the list --------------------------------------------------------------------------------

#[tokio::test]
async fn every_table_has_its_line_in_the_list_of_privileges() {
    let mut db = PgConnection::connect(&as_owner(&new_database().await)).await.unwrap();
    let tables: BTreeSet<String> = sqlx::query_scalar(
        "select tablename from pg_tables
          where schemaname = 'public'
            and not (select relispartition from pg_class where oid = format('%I.%I', schemaname, tablename)::regclass)",
    )
    .fetch_all(&mut db)
    .await
    .unwrap()
    .into_iter()
    .collect();
    let listed: BTreeSet<String> = PRIVILEGES.iter().map(|(table, _)| (*table).to_owned()).collect();
    assert_eq!(listed.len(), PRIVILEGES.len(), "a table has two lines");
    assert_eq!(listed, tables, "shared/src/platform/db/roles.rs lists other tables than the migrations make");
}

#[test]
fn rows_can_only_be_removed_where_our_code_removes_them() {
    let sources = sources(&root().join("shared/src"));
    for (table, privileges) in PRIVILEGES {
        let removes = sources.iter().any(|text| text.contains(&format!("delete from {table}")));
        assert_eq!(privileges.contains("delete"), removes, "{table}: {privileges}");
    }
}

fn sources(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![std::fs::read_to_string(&path).unwrap()] })
        .collect()
}

// ---- what is refused -------------------------------------------------------------------------

/// Postgres has one error code for all of these: not the owner, no privilege on a table, no right to a function.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

#[tokio::test]
async fn the_application_can_neither_change_the_schema_nor_rewrite_history() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    alice.place(json!([{ "sku": "mug", "quantity": 2 }])).await.done(201);
    let before = history(&app.db).await;
    for statement in [
        // The ledger, the timelines, and the record of manual actions.
        "update stock_movements set on_hand_delta = 0",
        "delete from stock_movements",
        "truncate stock_movements",
        "select 1 from stock_movements for update",
        "update order_events set data = '{}'",
        "delete from order_events",
        "truncate order_events",
        "update actions set actor_id = null",
        "delete from actions",
        "truncate actions",
        "merge into actions using (select 1) as it on true when matched then delete",
        // The triggers that protect them.
        "alter table stock_movements disable trigger append_only",
        "alter table stock_movements disable trigger all",
        "drop trigger append_only on stock_movements",
        "set session_replication_role = replica",
        "create or replace function refuse_change() returns trigger language plpgsql as 'begin return null; end'",
        "alter function refuse_change() rename to accept_change",
        // The schema.
        "alter table orders drop constraint orders_number_key",
        "alter table inventory drop constraint inventory_never_oversold",
        "alter table users add column note text",
        "create index on orders (total_minor)",
        "drop table actions",
        "drop schema public cascade",
        "alter sequence order_numbers restart",
        "select setval('order_numbers', 1)",
        "create table notes (note text)",
        "create schema notes",
        "create view everybody as select * from users",
        "create function f() returns int language sql as 'select 1'",
        "create extension citext",
        "create trigger t before insert on orders for each row execute function refuse_change()",
        "create rule r as on delete to orders do instead nothing",
        "insert into _sqlx_migrations values (99, 'x', now(), true, '', 0)",
        // Rows of accounts and orders may not be deleted.
        "delete from users",
        "delete from orders",
        "truncate orders cascade",
        // The server, and other roles.
        "copy users to program 'cat'",
        "copy users from program 'echo'",
        "copy users to '/tmp/users'",
        "select pg_read_file('/etc/passwd')",
        "select lo_import('/etc/passwd')",
        "create role other superuser",
        "alter role millrace_app superuser",
        "grant pg_execute_server_program to millrace_app",
        "set role millrace",
        "set session authorization millrace",
        "alter system set log_statement = 'all'",
        "select pg_reload_conf()",
        "create database other",
        "select rolpassword from pg_authid",
        "do language plpython3u 'pass'",
    ] {
        let error = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&app.state.db).await.expect_err(statement);
        let code =
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
        // This server does not have the untrusted language at all.
        let expected = if statement.contains("plpython3u") { "42704" } else { INSUFFICIENT_PRIVILEGE };
        assert_eq!(code, expected, "{statement}: {error}");
    }
    assert_eq!(history(&app.db).await, before);
    app.assert_clean().await;
}

/// What nobody may change afterwards.
async fn history(db: &PgPool) -> Value {
    sqlx::query_scalar(
        "select jsonb_build_array(
             (select jsonb_agg(to_jsonb(it) order by it.id) from stock_movements it),
             (select jsonb_agg(to_jsonb(it) order by it.order_id, it.sequence) from order_events it),
             (select jsonb_agg(to_jsonb(it) order by it.id) from actions it))",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

// ---- what works ------------------------------------------------------------------------------

/// API and workers run as the application's role: the whole life of an order, and all scheduled jobs.
#[tokio::test]
async fn the_whole_shop_runs_as_the_applications_role() {
    let app = TestApp::new().await;
    let role: String = sqlx::query_scalar("select current_user::text").fetch_one(&app.state.db).await.unwrap();
    assert_eq!(role, "millrace_app");
    app.product("mug", 1250, 50).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let place = async |quantity: i64, token: &str| {
        let body = json!({
            "items": [{ "sku": "mug", "quantity": quantity }], "payment_token": token, "shipping_address": { "city": "Bath" },
        });
        alice.post("/v1/orders", body).await.done(201).header("location").to_owned()
    };
    let (delivered, declined) = (place(1, "tok_ok").await, place(2, "tok_declined").await);
    let (flaky, cancelled) = (place(1, "tok_flaky_1").await, place(3, "tok_slow_500").await);
    alice.post(&format!("{cancelled}/cancel"), json!({})).await.done(202);

    let options = [
        "millrace-worker",
        "--payment-provider=simulated",
        "--simulated-scripts=on",
        "--database-url",
        &app.database_url,
        "--reaper-schedule=* * * * * *",
        "--delivery-delay=0s",
        "--retry-initial=10ms",
    ];
    let cli = Cli::try_parse_from(options).unwrap();
    let ctx = Context::connect(&cli.common.database().unwrap(), &cli.common, &cli.work).unwrap();
    let vitals = Vitals::new(&ctx, Vec::new()).unwrap();
    let stopping: CancellationToken = vitals.stopping.clone();
    let working = tokio::spawn(async move { fleet::run(ctx, &cli.work, &vitals).await });
    for (order, status) in
        [(&delivered, "delivered"), (&declined, "cancelled"), (&flaky, "delivered"), (&cancelled, "cancelled")]
    {
        until(&format!("{order} is {status}"), async || alice.get(order).await.body["status"] == status).await;
    }

    // Manual changes: an adjustment, a count, an unpaid order that expires, an order that staff cancel.
    let stock = staff.get("/v1/inventory").await.done(200).body["data"][0].clone();
    let adjustment = json!({ "delta": -1, "reason": "damaged" });
    staff.post(&format!("/v1/inventory/{}/adjustments", stock["id"].as_str().unwrap()), adjustment).await.done(201);
    let counted = json!({ "items": [{ "sku": "mug", "warehouse": stock["warehouse_id"], "quantity": 40 }] });
    staff.post("/v1/inventory/bulk", counted).await.done(200);
    place(1, "tok_unavailable").await;
    sqlx::query("update reservations set expires_at = now() - interval '1 s' where state = 'held'")
        .execute(&app.db)
        .await
        .unwrap();
    staff.post("/v1/inventory/reaper", json!({})).await.done(200);
    let started = staff.post("/v1/ops/audit/runs", json!({})).await.done(202);
    let run = format!("/v1/ops/audit/runs/{}", started.id());
    until("the audit is done", async || staff.get(&run).await.done(200).body["state"] == "done").await;
    until("the reaper ran by the clock", async || {
        app.count("select count(*) from clockwork where name = 'reap'").await == 1
    })
    .await;
    shared::retention::run(&app.state.db).await.unwrap();
    shared::audit::run(&mut app.state.db.acquire().await.unwrap()).await.unwrap();
    stopping.cancel();
    working.await.unwrap().unwrap();
}

// ---- making the roles ------------------------------------------------------------------------

#[tokio::test]
async fn the_script_makes_an_owner_who_migrates_and_grants_and_takes_back() {
    let database = empty_database().await;
    make_roles(&database).await;
    let as_role = |role: &str, password: &str| {
        let (_, rest) = database.split_once('@').unwrap();
        format!("postgres://{role}:{password}@{rest}")
    };
    let (owner, app) = (as_role("millrace_owner", "owner"), as_role("millrace_app", "app"));
    let migrate = |url: &str, role: &str, arguments: &[&str]| {
        run(binary(&[("DATABASE_URL", url), ("DATABASE_APP_ROLE", role)]).arg("migrate").args(arguments))
    };
    let (fine, printed) = migrate(&app, "", &[]);
    assert!(!fine && printed.contains("permission denied"), "{printed}");
    for (arguments, works) in [(&[][..], true), (&["--down", "1000"], false), (&[], true), (&[], true)] {
        let (fine, printed) = migrate(&owner, "millrace_app", arguments);
        assert!(fine, "{arguments:?}: {printed}");
        let mut db = PgConnection::connect(&app).await.unwrap();
        assert_eq!(sqlx::query("select 1 from orders").execute(&mut db).await.is_ok(), works, "{arguments:?}");
    }
    for (role, why) in [
        ("nobody_of_that_name", "does not exist"),
        ("millrace_owner", "owns the database"),
        ("millrace", "is a superuser"),
    ] {
        let (fine, printed) = migrate(&owner, role, &[]);
        assert!(!fine && printed.contains(why), "{role}: {printed}");
    }
    let mut db = PgConnection::connect(&app).await.unwrap();
    for statement in ["create temporary table t (n int)", "delete from orders", "drop table orders"] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.expect_err(statement);
    }
    assert_eq!(privileges(&database).await, privileges(&as_owner(&new_database().await)).await);
}

/// A database as it was before the roles: one superuser owns everything.
#[tokio::test]
async fn the_script_gives_a_database_of_one_role_to_the_owner() {
    let database = as_owner(&new_database().await);
    make_roles(&database).await;
    let (_, rest) = database.split_once('@').unwrap();
    let owner = format!("postgres://millrace_owner:owner@{rest}");
    let mut db = PgConnection::connect(&owner).await.unwrap();
    let others: Vec<String> = sqlx::query_scalar(
        "select oid::regclass::text from pg_class
          where relnamespace = 'public'::regnamespace and relowner <> 'millrace_owner'::regrole
         union all select oid::regprocedure::text from pg_proc
          where pronamespace = 'public'::regnamespace and proowner <> 'millrace_owner'::regrole
            and not exists (select from pg_depend d where d.objid = pg_proc.oid and d.deptype = 'e')
         union all select oid::regtype::text from pg_type
          where typnamespace = 'public'::regnamespace and typtype in ('e', 'd') and typowner <> 'millrace_owner'::regrole
            and not exists (select from pg_depend d where d.objid = pg_type.oid and d.deptype = 'e')",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert!(others.is_empty(), "{others:?}");
    let down = (shared::migrations::MIGRATOR.iter().count() / 2 - 3).to_string();
    for arguments in [&["--down", &*down][..], &[]] {
        let settings = [("DATABASE_URL", owner.as_str()), ("DATABASE_APP_ROLE", "millrace_app")];
        let (fine, printed) = run(binary(&settings).arg("migrate").args(arguments));
        assert!(fine, "{arguments:?}: {printed}");
    }
}

/// The privileges of each role on each table.
async fn privileges(database: &str) -> Vec<(String, String)> {
    let mut db = PgConnection::connect(database).await.unwrap();
    sqlx::query_as(
        "select table_schema || '.' || table_name, string_agg(privilege_type::text, ', ' order by privilege_type)
           from information_schema.role_table_grants where grantee = 'millrace_app' group by 1 order by 1",
    )
    .fetch_all(&mut db)
    .await
    .unwrap()
}

/// Runs deploy/postgres/roles.sql as a superuser. Roles belong to the server, so only one test may do this at a time.
async fn make_roles(database: &str) {
    let (server, _) = database.rsplit_once('/').unwrap();
    let mut lock = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    sqlx::query("select pg_advisory_lock(7218)").execute(&mut lock).await.unwrap();
    let output = Command::new(psql())
        .args(["-X", "-q", "-d", database, "-f", "deploy/postgres/roles.sql"])
        .envs([("MILLRACE_OWNER_PASSWORD", "owner"), ("MILLRACE_APP_PASSWORD", "app")])
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// Debian and Homebrew keep psql out of PATH.
fn psql() -> PathBuf {
    let found = |version: u32| {
        ["/usr/lib/postgresql/", "/opt/homebrew/opt/postgresql@", "/usr/local/opt/postgresql@"]
            .map(|place| PathBuf::from(format!("{place}{version}/bin/psql")))
            .into_iter()
            .find(|psql| psql.exists())
    };
    (15..=30).rev().find_map(found).unwrap_or_else(|| PathBuf::from("psql"))
}

// ---- Redis ----------------------------------------------------------------------------------

/// A Redis with a file of users from deploy/redis, written as docker-compose.yml does it.
struct GuardedRedis {
    port: u16,
    _child: tokio::process::Child,
    folder: PathBuf,
}

impl GuardedRedis {
    async fn start(users: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("millrace-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let port = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
        let file = folder.join("users.acl");
        let hash = Command::new("sh").args(["-c", "printf %s secret | sha256sum | cut -c 1-64"]).output().unwrap();
        let mut text = read(&format!("deploy/redis/{users}.acl")).replace("PASSWORD_HASH", said(&hash).trim());
        if redis_is_older_than_7_2() {
            text = text.replace(" +client|setinfo", "");
        }
        // A user for the test only, which reads which commands were refused.
        std::fs::write(&file, text + "user admin on nopass ~* +@all\n").unwrap();
        let child = tokio::process::Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--aclfile",
                file.to_str().unwrap(),
            ])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed by ./dev test");
        until("Redis listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Self { port, _child: child, folder }
    }

    fn url(&self) -> String {
        format!("redis://millrace:secret@127.0.0.1:{}", self.port)
    }

    fn ask(&self, user: &str, words: &[&str]) -> String {
        let port = self.port.to_string();
        let answer = Command::new("redis-cli")
            .args(["-p", &port, "--no-auth-warning", "--user", user, "--pass", "secret"])
            .args(words)
            .output()
            .unwrap();
        said(&answer).trim().to_owned()
    }
}

impl Drop for GuardedRedis {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn redis_is_older_than_7_2() -> bool {
    let version = said(&Command::new("redis-server").arg("--version").output().unwrap());
    ["v=7.0.", "v=7.1."].iter().any(|old| version.contains(old))
}

#[tokio::test]
async fn queue_and_cache_work_as_users_that_can_do_nothing_else() {
    let (queue, cache) = (GuardedRedis::start("queue").await, GuardedRedis::start("cache").await);
    let urls = [format!("--queue-redis-url={}", queue.url()), format!("--cache-redis-url={}", cache.url())];
    let app = TestApp::with(&["--cache=on", "--cache-local-ttl=0s", &urls[0], &urls[1]]).await;
    let mug = app.product("mug", 1250, 50).await;
    let cli = Cli::try_parse_from([
        "millrace-worker",
        "--payment-provider=simulated",
        "--database-url",
        &app.database_url,
        &urls[0],
    ])
    .unwrap();
    let ctx = Context::connect(&cli.common.database().unwrap(), &cli.common, &cli.work).unwrap();
    let vitals = Vitals::new(&ctx, Vec::new()).unwrap();
    let stopping: CancellationToken = vitals.stopping.clone();
    let working = tokio::spawn(async move { fleet::run(ctx, &cli.work, &vitals).await });
    let alice = app.customer().await;
    let order = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    let order = order.header("location").to_owned();
    until("it is shipped", async || alice.get(&order).await.body["status"] == "shipped").await;
    until("the product is cached", async || {
        app.anyone().get(&format!("/v1/products/{mug}")).await.done(200);
        cache.ask("admin", &["dbsize"]) != "0"
    })
    .await;
    stopping.cancel();
    working.await.unwrap().unwrap();
    for redis in [&queue, &cache] {
        assert_eq!(redis.ask("admin", &["acl", "log"]), "", "something that we need was refused");
        assert_eq!(redis.ask("millrace", &["ping"]), "PONG");
        for words in [
            &["flushall"][..],
            &["keys", "*"],
            &["config", "get", "*"],
            &["shutdown"],
            &["acl", "list"],
            &["eval", "return 1", "0"],
            &["set", "other", "1"],
        ] {
            let answer = redis.ask("millrace", words);
            assert!(answer.contains("NOPERM"), "{words:?}: {answer}");
        }
        let nobody = redis.ask("default", &["ping"]);
        assert!(nobody.contains("WRONGPASS"), "{nobody}");
    }
}

#[test]
fn the_roles_of_the_pages_are_those_of_the_script() {
    let script = read("deploy/postgres/roles.sql");
    for role in ["millrace_owner", "millrace_app"] {
        assert!(script.contains(&format!("alter role {role} login nosuperuser")), "{role}");
        assert!(read("docs/deploying.md").contains(role), "{role}");
    }
}
