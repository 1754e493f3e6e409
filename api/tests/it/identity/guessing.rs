//! How many passwords can be guessed: by one address, by a network, by many addresses, and what it costs us.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use shared::platform::limits::Limit;
use testkit::app::{PASSWORD, TestApp};
use testkit::person::{Person, Reply};

use super::{count, log_in, login};

const PROXY: &str = "--trusted-proxies=127.0.0.1";

/// A login, as it arrives from this address.
async fn from(app: &TestApp, address: &str, email: &str, password: &str) -> Reply {
    from_as(&app.anyone(), address, email, password).await
}

async fn from_as(person: &Person<'_>, address: &str, email: &str, password: &str) -> Reply {
    let body = json!({ "email": email, "password": password });
    person.send(Method::POST, "/v1/auth/login", Some(body), &[("x-forwarded-for", address)]).await
}

// Requests

#[tokio::test]
async fn a_token_does_not_give_another_limit_for_logging_in() {
    let app = TestApp::with(&["--rate-limit-login=4/1h"]).await;
    let (alice, bob) = (app.customer().await, app.customer().await); // Two logins.
    let guess = json!({ "email": "someone@example.com", "password": "a wrong guess" });
    alice.post("/v1/auth/login", guess.clone()).await.refused(401, "invalid_credentials");
    bob.post("/v1/auth/login", guess.clone()).await.refused(401, "invalid_credentials");
    for person in [&alice, &bob, &app.anyone()] {
        person.post("/v1/auth/login", guess.clone()).await.refused(429, "rate_limited");
        person.post("/v1/auth/refresh", json!({ "refresh_token": "x" })).await.refused(429, "rate_limited");
    }
    alice.get("/v1/me").await.done(200);
}

#[tokio::test]
async fn the_addresses_of_an_ipv6_network_share_their_limits() {
    let app = TestApp::with(&["--rate-limit-login=2/1h", "--rate-limit-read=1/1h", PROXY]).await;
    for (address, status) in
        [("2001:db8:1:2::1", 401), ("2001:db8:1:2::2", 401), ("2001:db8:1:2::3", 429), ("2001:db8:1:3::1", 401)]
    {
        assert_eq!(from(&app, address, "a@example.com", "wrong").await.status.as_u16(), status, "{address}");
    }
    // A /48 has eight times the limit of a /64, over all of its networks. Three of sixteen are used.
    for network in 3..16 {
        let address = format!("2001:db8:1:{network:x}::9");
        assert_eq!(from(&app, &address, "a@example.com", "wrong").await.status.as_u16(), 401, "{address}");
    }
    from(&app, "2001:db8:1:ff::1", "a@example.com", "wrong").await.refused(429, "rate_limited");
    from(&app, "2001:db8:2:1::1", "a@example.com", "wrong").await.refused(401, "invalid_credentials");

    let read = async |address: &str| {
        app.anyone().send(Method::GET, "/v1/products", None, &[("x-forwarded-for", address)]).await
    };
    read("2001:db8:9:9::1").await.done(200);
    read("2001:db8:9:9::2").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn new_accounts_are_few_per_address_and_a_form_filled_in_wrongly_is_none() {
    let app = TestApp::with(&["--rate-limit-register=2/1h", PROXY]).await;
    let register = async |address: &str, number: u32, password: &str| {
        let body = json!({ "email": format!("u{number}@example.com"), "password": password, "name": "A" });
        app.anyone().send(Method::POST, "/v1/auth/register", Some(body), &[("x-forwarded-for", address)]).await
    };
    for _ in 0..5 {
        register("203.0.113.1", 1, "password").await.refused(422, "weak_password");
    }
    register("203.0.113.1", 1, PASSWORD).await.done(201);
    register("203.0.113.1", 2, PASSWORD).await.done(201);
    register("203.0.113.1", 3, PASSWORD).await.refused(429, "rate_limited");
    register("203.0.113.2", 4, PASSWORD).await.done(201);
    register("2001:db8:1:2::1", 5, PASSWORD).await.done(201);
    register("2001:db8:1:2::2", 6, PASSWORD).await.done(201);
    register("2001:db8:1:2::3", 7, PASSWORD).await.refused(429, "rate_limited");
    assert_eq!(count(&app, "users").await, 5);
    let log_in = json!({ "email": "u1@example.com", "password": PASSWORD });
    app.anyone()
        .send(Method::POST, "/v1/auth/login", Some(log_in), &[("x-forwarded-for", "203.0.113.1")])
        .await
        .done(200);
}

// Guesses at one account

/// The figures that our documents name, from the defaults.
#[tokio::test]
async fn guesses_at_one_account_in_an_hour_are_as_few_from_a_thousand_addresses_as_from_two() {
    let app = TestApp::with(&[PROXY]).await;
    let limits = &app.state.settings.rate_limits;
    let hour = |limit: Limit| limit.most_in(Duration::from_hours(1));
    // One IPv4 address, or all of an IPv6 /64: 10 at once, then one each 30 s.
    assert_eq!(hour(limits.account), 130);
    // A /48, or any number of addresses: 100 at once, then one each 36 s.
    assert_eq!(hour(limits.account_all), 200);

    let alice = app.customer().await;
    let (mut guessed, mut refused) = (0, 0);
    for number in 0..1000 {
        let address = format!("198.51.{}.{}", 100 + number / 250, number % 250);
        match from(&app, &address, &alice.email, "a wrong guess").await.status.as_u16() {
            401 => guessed += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    // At most some that flowed in while the test ran, at one each 36 s.
    assert!((100..=110).contains(&guessed) && guessed + refused == 1000, "{guessed} guesses, {refused} refused");
}

#[tokio::test]
async fn an_ipv6_network_has_the_guesses_of_one_address() {
    let app = TestApp::with(&["--rate-limit-account=3/1h", PROXY]).await;
    let alice = app.customer().await;
    for number in 1..=3 {
        let address = format!("2001:db8:1:2::{number}");
        from(&app, &address, &alice.email, "a wrong guess").await.refused(401, "invalid_credentials");
    }
    from(&app, "2001:db8:1:2::4", &alice.email, PASSWORD).await.refused(429, "rate_limited");
    from(&app, "2001:db8:1:3::1", &alice.email, PASSWORD).await.done(200);
}

#[tokio::test]
async fn guessing_from_many_addresses_locks_the_owner_out_nowhere_they_have_signed_in() {
    let app = TestApp::with(&["--rate-limit-account=2/1h", "--rate-limit-account-all=4/1h", PROXY]).await;
    let (alice, home) = (app.customer().await, "203.0.113.7");
    from(&app, home, &alice.email, PASSWORD).await.done(200);
    for number in 1..=4 {
        let address = format!("198.51.100.{number}");
        from(&app, &address, &alice.email, "a wrong guess").await.refused(401, "invalid_credentials");
    }
    let stranger = from(&app, "198.51.100.9", &alice.email, PASSWORD).await;
    stranger.refused(429, "rate_limited");
    let unknown = from(&app, "198.51.100.9", "nobody@example.com", "a wrong guess").await;
    unknown.refused(401, "invalid_credentials"); // Another account has its own limit.

    from(&app, home, &alice.email, PASSWORD).await.done(200);
    from(&app, home, &alice.email, "a typing error").await.refused(401, "invalid_credentials");
    from(&app, home, &alice.email, PASSWORD).await.done(200);
    // But home has its own limit still.
    from(&app, home, &alice.email, "a wrong guess").await.refused(401, "invalid_credentials");
    from(&app, home, &alice.email, PASSWORD).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn a_network_is_known_for_thirty_days() {
    let app = TestApp::with(&["--rate-limit-account-all=1/1h", PROXY]).await;
    let (alice, home) = (app.customer().await, "203.0.113.7");
    from(&app, home, &alice.email, PASSWORD).await.done(200);
    from(&app, "198.51.100.1", &alice.email, "a wrong guess").await.refused(401, "invalid_credentials");
    let age = async |days: i32| {
        let sql = "update known_networks set seen_at = clock_timestamp() - make_interval(days => $1, mins => -1)";
        sqlx::query(sql).bind(days).execute(&app.db).await.unwrap();
    };
    age(31).await;
    from(&app, home, &alice.email, PASSWORD).await.refused(429, "rate_limited");
    shared::retention::run(&app.db).await.unwrap();
    assert_eq!(count(&app, "known_networks").await, 0);
    sqlx::query("insert into known_networks (user_id, network) values ($1, '203.0.113.7')")
        .bind(alice.id)
        .execute(&app.db)
        .await
        .unwrap();
    age(30).await;
    from(&app, home, &alice.email, PASSWORD).await.done(200);
}

#[tokio::test]
async fn a_stolen_token_gives_no_more_guesses_from_many_addresses() {
    let app = TestApp::with(&["--rate-limit-account-all=2/1h", PROXY]).await;
    let alice = app.customer().await;
    sqlx::query("delete from known_networks").execute(&app.db).await.unwrap();
    for (number, status) in [(1, 401), (2, 401), (3, 429)] {
        let address = format!("198.51.100.{number}");
        let guess = json!({ "password": "a wrong guess" });
        let header = [("x-forwarded-for", address.as_str())];
        let reply = alice.send(Method::POST, "/v1/me/password/confirm", Some(guess), &header).await;
        assert_eq!(reply.status.as_u16(), status, "{reply:?}");
    }
}

// What a guess costs

#[tokio::test]
async fn a_login_hashes_once_whether_there_is_such_an_account_or_not() {
    let app = TestApp::new().await;
    let (alice, bob, admin) = (app.customer().await, app.customer().await, app.admin().await);
    admin.patch(&format!("/v1/users/{}", bob.id), json!({ "active": false })).await.done(200);
    let checks = || app.state.identity.metrics.password_checks();
    for (email, password, status) in [
        (&*alice.email, PASSWORD, 200),
        (&*alice.email, "a wrong guess", 401),
        ("nobody@example.com", "a wrong guess", 401),
        ("nobody@example.com", PASSWORD, 401),
        (&*bob.email, PASSWORD, 401),
        ("not an address", PASSWORD, 401),
        ("al\u{130}ce@example.com", PASSWORD, 401),
    ] {
        let before = checks();
        assert_eq!(login(&app, email, password).await.status.as_u16(), status, "{email}");
        assert_eq!(checks() - before, 1, "{email}");
    }
}

#[tokio::test]
async fn sign_ins_are_counted_by_their_outcome() {
    let app = TestApp::with(&["--rate-limit-account=1/1h"]).await;
    let alice = app.customer().await;
    login(&app, &alice.email, "a wrong guess").await.refused(401, "invalid_credentials");
    login(&app, &alice.email, PASSWORD).await.refused(429, "rate_limited");
    let metrics = app.http.get(format!("{}/metrics", app.metrics_url)).send().await.unwrap().text().await.unwrap();
    for line in [
        "millrace_sign_ins_total{outcome=\"signed_in\"} 1",
        "millrace_sign_ins_total{outcome=\"wrong\"} 1",
        "millrace_sign_ins_total{outcome=\"refused\"} 1",
        "millrace_sign_ins_total{outcome=\"code_missing\"} 0",
        "millrace_password_checks_total 2",
    ] {
        assert!(metrics.lines().any(|it| it == line), "no {line}");
    }
}

// One account, however its address is written

#[tokio::test]
async fn an_address_has_one_spelling_for_the_index_the_login_and_the_throttle() {
    let app = TestApp::with(&["--rate-limit-account=3/1h"]).await;
    let register = async |email: &str| {
        app.anyone().post("/v1/auth/register", json!({ "email": email, "password": PASSWORD, "name": "A" })).await
    };
    register("alice@millrace.test").await.done(201);
    register("ALICE@Millrace.TEST").await.refused(409, "email_taken");
    for look_alike in [
        "al\u{130}ce@millrace.test",
        "alice@m\u{130}llrace.test",
        "alice\u{200b}@millrace.test",
        "alice\u{feff}@millrace.test",
        "\u{430}lice@millrace.test",
        "alice@millrace\u{ff0e}test",
    ] {
        register(look_alike).await.refused(422, "invalid_email");
        login(&app, look_alike, PASSWORD).await.refused(401, "invalid_credentials");
    }
    assert_eq!((count(&app, "users").await, count(&app, "customers").await), (1, 1));
    let keys: Vec<String> = sqlx::query_scalar("select email_key from users").fetch_all(&app.db).await.unwrap();
    assert_eq!(keys, ["alice@millrace.test"]);

    for spelling in ["alice@millrace.test", "Alice@millrace.test", " ALICE@MILLRACE.TEST "] {
        login(&app, spelling, "a wrong guess").await.refused(401, "invalid_credentials");
    }
    login(&app, "aLICE@millrace.test", PASSWORD).await.refused(429, "rate_limited");
}

/// The database makes the key, and `Email` asks for it: they must not differ.
#[tokio::test]
async fn the_key_in_the_database_is_the_key_of_the_type() {
    let app = TestApp::new().await;
    for email in ["A.B+C@Example.COM", "I@ILLINOIS.EXAMPLE", "o'neil_{x}~@xn--bcher-kva.example"] {
        let typed: shared::values::Email = email.parse().unwrap();
        let person = json!({ "email": email, "password": PASSWORD, "name": "A" });
        app.anyone().post("/v1/auth/register", person).await.done(201);
        let key: String = sqlx::query_scalar("select email_key from users where email = $1")
            .bind(email)
            .fetch_one(&app.db)
            .await
            .unwrap();
        assert_eq!(key, typed.key());
        log_in(&app, &email.to_uppercase(), PASSWORD).await.get("/v1/me").await.done(200);
    }
}

// Passwords

#[tokio::test]
async fn common_passwords_and_ones_own_address_and_name_are_refused() {
    let app = TestApp::new().await;
    for password in [
        "password",
        "PASSWORD",
        "12345678",
        "iloveyou1",
        "        ",
        "zoe.archer@example.com",
        "Zoe.Archer",
        "zoe b. archer",
    ] {
        let body = json!({ "email": "Zoe.Archer@example.com", "password": password, "name": "Zoe B. Archer" });
        app.anyone().post("/v1/auth/register", body).await.refused(422, "weak_password");
    }
    assert_eq!(count(&app, "users").await, 0);
    let body = json!({ "email": "Zoe.Archer@example.com", "password": PASSWORD, "name": "Zoe B. Archer" });
    app.anyone().post("/v1/auth/register", body).await.done(201);
    let zoe = log_in(&app, "zoe.archer@example.com", PASSWORD).await;
    for password in ["password1", "zoe.archer", "ZOE B. ARCHER"] {
        let change = json!({ "current_password": PASSWORD, "new_password": password });
        let refused = zoe.post("/v1/me/password", change).await;
        refused.refused(422, "weak_password");
        assert_eq!(refused.body["errors"][0]["field"], "new_password");
    }
    log_in(&app, "zoe.archer@example.com", PASSWORD).await;
}
