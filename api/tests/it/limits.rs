//! Rate limits of several API processes with one Redis, and without Redis.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use shared::platform::redis::server::REDIS_TIMEOUT;
use testkit::app::{PASSWORD, TestApp};
use testkit::database::new_database;
use testkit::redis_server::RedisServer;

/// Clients that send the next request as soon as the last one is answered.
const CLIENTS: usize = 16;
const A_SECOND: f64 = 100.0;
/// The clients ask for much more than the limit. On a machine that does many other things they may fall behind it at times.
const WHAT_A_BUSY_MACHINE_ASKS: f64 = 0.5;

/// Two API processes with this limit.
async fn two(redis: &RedisServer) -> [TestApp; 2] {
    let database = new_database().await;
    let options = [redis.option(), format!("--rate-limit-read={A_SECOND}/1s")];
    let options = options.each_ref().map(String::as_str);
    [TestApp::on(&database, &options).await, TestApp::on(&database, &options).await]
}

struct Run {
    seconds: f64,
    /// By process.
    allowed: [f64; 2],
    latencies: Vec<Duration>,
}

impl Run {
    fn allowed(&self) -> f64 {
        self.allowed.iter().sum()
    }

    fn median(&self) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }
}

/// Runs clients against both processes for this time. Each request has another forged address.
async fn ask(apps: &[TestApp; 2], time: Duration) -> Run {
    let start = Instant::now();
    let client = async |number: usize| {
        let app = &apps[number % 2];
        let (mut allowed, mut latencies) = (0.0, Vec::new());
        while start.elapsed() < time {
            let forged = format!("198.51.{}.{}", number, latencies.len() % 256);
            let asked = Instant::now();
            let reply =
                app.anyone().send(Method::GET, "/v1/nothing", None, &[("x-forwarded-for", forged.as_str())]).await;
            latencies.push(asked.elapsed());
            match reply.status {
                StatusCode::NOT_FOUND => allowed += 1.0,
                _ => reply.refused(429, "rate_limited"),
            }
        }
        (number % 2, allowed, latencies)
    };
    let clients = join_all((0..CLIENTS).map(client)).await;
    let mut run = Run { seconds: start.elapsed().as_secs_f64(), allowed: [0.0; 2], latencies: Vec::new() };
    for (app, allowed, latencies) in clients {
        run.allowed[app] += allowed;
        run.latencies.extend(latencies);
    }
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_allow_together_what_one_may() {
    let redis = RedisServer::start().await;
    let apps = two(&redis).await;
    let run = ask(&apps, Duration::from_secs(4)).await;
    let expected = A_SECOND + A_SECOND * run.seconds; // the full bucket, and its refill
    println!("allowed {} of {expected:.0}, {} asked", run.allowed(), run.latencies.len());
    assert!(run.allowed() < expected * 1.05, "{} instead of {expected:.0} were allowed", run.allowed());
    assert!(run.allowed() > expected * WHAT_A_BUSY_MACHINE_ASKS, "{} instead of {expected:.0}", run.allowed());
    assert!(run.allowed.iter().all(|allowed| *allowed > 0.0));

    let keys = redis.command(&["keys", "*"]).await;
    assert_eq!(keys, "millrace:limit:read:127.0.0.1", "whatever address was forged");
    let left: i64 = redis.command(&["pttl", &keys]).await.parse().unwrap();
    assert!((1..=1000).contains(&left), "it goes when the bucket is full: {left}");
}

/// Redis refuses connections, or does not answer at all.
#[tokio::test(flavor = "multi_thread")]
async fn with_redis_lost_requests_keep_their_limits_and_do_not_wait_for_it() {
    for frozen in [false, true] {
        let mut redis = RedisServer::start().await;
        let apps = two(&redis).await;
        ask(&apps, Duration::from_secs(2)).await;
        let lose = async { if frozen { redis.freeze().await } else { redis.kill().await } };
        let (lost, ()) = tokio::join!(ask(&apps, Duration::from_secs(3)), lose);
        println!("frozen {frozen}: allowed {:?}, median {:?}", lost.allowed, lost.median());
        for allowed in lost.allowed {
            let drip = A_SECOND * lost.seconds;
            assert!(allowed > drip * WHAT_A_BUSY_MACHINE_ASKS, "{allowed} are fewer than one process may allow");
            assert!(allowed < (drip + A_SECOND) * 1.05, "{allowed} are more than one process may allow");
        }
        // Only requests that were already waiting for Redis wait until the timeout.
        assert!(lost.median() < REDIS_TIMEOUT, "most requests waited for Redis: {:?}", lost.median());
        if frozen {
            redis.thaw().await;
        }
    }
}

#[tokio::test]
async fn wrong_passwords_count_over_all_processes_and_right_ones_do_not() {
    let redis = RedisServer::start().await;
    let database = new_database().await;
    let options = [redis.option(), "--rate-limit-account=3/1h".to_owned()];
    let options = options.each_ref().map(String::as_str);
    let (one, other) = (TestApp::on(&database, &options).await, TestApp::on(&database, &options).await);
    let alice = one.customer().await;
    let log_in = async |app: &TestApp, password: &str| {
        app.anyone().post("/v1/auth/login", json!({ "email": alice.email, "password": password })).await
    };
    log_in(&one, "wrong wrong").await.refused(401, "invalid_credentials");
    log_in(&other, "wrong wrong").await.refused(401, "invalid_credentials");
    for _ in 0..4 {
        log_in(&one, PASSWORD).await.done(200);
        log_in(&other, PASSWORD).await.done(200);
    }
    log_in(&one, "wrong wrong").await.refused(401, "invalid_credentials");
    log_in(&other, PASSWORD).await.refused(429, "rate_limited");
    log_in(&one, PASSWORD).await.refused(429, "rate_limited");
}
