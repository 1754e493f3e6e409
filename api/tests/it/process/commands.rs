//! `migrate`, `seed` and `create-user`.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testkit::app::PASSWORD;
use testkit::database::{empty_database, new_database};

use super::{Process, binary, enough, run};

/// Relations, functions and types that belong neither to Postgres nor to sqlx.
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
