//! `migrate`, `seed` and `create-user`.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testkit::app::PASSWORD;
use testkit::database::{as_owner, empty_database, new_database};
use testkit::until::until;

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
    let migrations =
        shared::migrations::MIGRATOR.iter().filter(|migration| migration.migration_type.is_up_migration()).count();
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
async fn a_shop_in_a_schema_never_uses_the_one_in_public() {
    let public = as_owner(&new_database().await);
    let shop = format!("{public}?options[search_path]=shop_7,public");
    let mut db = PgConnection::connect(&public).await.unwrap();
    let create_user = || {
        let settings = [("DATABASE_URL", shop.as_str()), ("MILLRACE_PASSWORD", PASSWORD)];
        run(binary(&settings).args(["create-user", "--email=root@example.com", "--role=admin"]))
    };
    let (fine, printed) = create_user();
    assert!(!fine && printed.contains("names the schema shop_7"), "{printed}");

    let settings = [("DATABASE_URL", shop.as_str()), ("DATABASE_APP_ROLE", "millrace_app")];
    for _ in 0..2 {
        let (fine, printed) = run(binary(&settings).arg("migrate"));
        assert!(fine, "{printed}");
    }
    let (fine, printed) = create_user();
    assert!(fine, "{printed}");
    let users = "select (select count(*) from public.users), (select count(*) from shop_7.users)";
    assert_eq!(sqlx::query_as::<_, (i64, i64)>(users).fetch_one(&mut db).await.unwrap(), (0, 1));
    // It goes without a trace.
    sqlx::query("drop schema shop_7 cascade").execute(&mut db).await.unwrap();
    let (fine, printed) = run(binary(&[("DATABASE_URL", public.as_str())]).args(["migrate", "--down", "1000"]));
    assert!(fine, "{printed}");
    let left: Vec<String> = sqlx::query_scalar(LEFT_BEHIND).fetch_all(&mut db).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
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
async fn demo_users_are_made_only_on_request_and_only_where_nobody_else_can_reach_them() {
    let database = new_database().await;
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/../seed");
    let mut db = PgConnection::connect(&database).await.unwrap();
    for (address, arguments, works, users) in [
        ("127.0.0.1:8080", &[][..], true, 0),
        ("127.0.0.1:8080", &["--force"], false, 0),
        ("0.0.0.0:8080", &[], true, 0),
        ("0.0.0.0:8080", &["--demo-users"], false, 0),
        ("0.0.0.0:8080", &["--demo-users", "--force"], true, 3),
        ("127.0.0.1:8080", &["--demo-users"], true, 3),
    ] {
        let settings = [("DATABASE_URL", database.as_str()), ("API_ADDR", address)];
        let (fine, printed) = run(binary(&settings).args(["seed", seed]).args(arguments));
        assert_eq!(fine, works, "{address} {arguments:?}: {printed}");
        assert!(fine || printed.contains("--demo-users"), "{printed}");
        let there: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(&mut db).await.unwrap();
        assert_eq!(there, users, "{address} {arguments:?}");
    }
}

#[tokio::test]
async fn what_is_insecure_is_said_in_the_log_in_a_metric_and_to_staff() {
    let database = new_database().await;
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/../seed");
    let (fine, printed) = run(binary(&[("DATABASE_URL", &database)]).args(["seed", seed, "--demo-users"]));
    assert!(fine, "{printed}");
    let mut db = PgConnection::connect(&database).await.unwrap();
    sqlx::query(
        "insert into workers (id, host, pid, version, queues, kinds, running, warnings)
                 values (gen_random_uuid(), 'mill', 1, '1', '{}', '{}', 0, '{PAYMENT_PROVIDER=simulated: no money}')",
    )
    .execute(&mut db)
    .await
    .unwrap();

    let mut settings = enough(&database);
    settings.extend([("RATE_LIMITS", "off"), ("CORS_ORIGINS", "*"), ("API_ADDR", "0.0.0.0:0")]);
    let mut process = Process::start(&mut binary(&settings));
    let url = process.url().replace("0.0.0.0", "127.0.0.1");
    let metrics: Value = serde_json::from_str(&process.line("metrics are at")).unwrap();
    let expected = ["API_ADDR", "CORS_ORIGINS", "RATE_LIMITS", "demo_users"];
    let mut logged = Vec::new();
    while logged.len() < expected.len() {
        let line: Value = serde_json::from_str(&process.line("insecure: ")).unwrap();
        assert_eq!(line["level"], "WARN");
        logged.push(line["setting"].as_str().unwrap().to_owned());
    }
    logged.sort();
    assert_eq!(logged, expected);

    let http = reqwest::Client::new();
    let metrics = format!("http://{}/metrics", metrics["addr"].as_str().unwrap());
    let metrics = http.get(metrics).send().await.unwrap().text().await.unwrap();
    for setting in expected {
        assert!(metrics.contains(&format!("millrace_insecure_settings{{setting=\"{setting}\"}} 1")), "{metrics}");
    }
    let token = async |email: &str, password: &str| {
        let login = json!({ "email": email, "password": password });
        let answer = http.post(format!("{url}/v1/auth/login")).json(&login).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
    };
    let (staff, alice) =
        (token("staff@millrace.test", "demo-staff-2026").await, token("alice@millrace.test", "demo-alice-2026").await);
    for (token, sees) in [(None, false), (Some(alice), false), (Some(staff), true)] {
        let mut request = http.get(format!("{url}/health"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let health: Value = request.send().await.unwrap().json().await.unwrap();
        let warnings: Option<Vec<String>> = serde_json::from_value(health["warnings"].clone()).unwrap();
        assert_eq!(warnings.is_some(), sees, "{health}");
        if let Some(warnings) = warnings {
            assert_eq!(warnings.len(), 5, "{warnings:#?}");
            assert!(warnings.iter().any(|warning| warning.starts_with("PAYMENT_PROVIDER")), "{warnings:#?}");
        }
    }
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

    // It says once that it waits, is not ready meanwhile, and goes on by itself.
    let waits: Value = serde_json::from_str(&process.line("millrace-api migrate")).unwrap();
    assert_eq!(waits["level"], "WARN");
    assert_eq!(reqwest::get(format!("{url}/health/ready")).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let (fine, printed) = run(binary(&settings).arg("migrate"));
    assert!(fine, "{printed}");
    until("it is ready", async || reqwest::get(format!("{url}/health/ready")).await.unwrap().status().is_success())
        .await;
    process.line("the database is at version");
    assert_eq!(process.seen.iter().filter(|line| line.contains("waits until")).count(), 1, "{:#?}", process.seen);
    assert!(!process.seen.iter().any(|line| line.contains("PgDatabaseError")), "{:#?}", process.seen);
}
