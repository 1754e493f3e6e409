//! Settings: from where they come, and how a wrong one is refused.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory;
use testkit::app::{PASSWORD, TEST_KEY};
use testkit::database::new_database;
use tokio::net::TcpListener;

use super::{Process, SECRET, binary, enough, run};

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
        ("MAX_CONNECTIONS_PER_ADDRESS", Some("0")),
        ("DOCS", Some("sometimes")),
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
        "MAX_CONNECTIONS_PER_ADDRESS",
        "DOCS",
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
    let example = include_str!("../../../../.env.example");
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
