//! Open pages while something is broken: they say so, keep what was typed, and catch up by themselves.

use std::net::SocketAddr;

use api::serve::{Listeners, serve_on};
use serde_json::json;
use testkit::app::{PASSWORD, TestApp, settings};
use testkit::database::redis_url;
use testkit::redis_server::RedisServer;
use testkit::workers::TestSystem;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::driver::Browser;

/// A second API process on the database of an app, which can be stopped and started again at the same address.
struct Restarted {
    addr: SocketAddr,
    stopping: CancellationToken,
    serving: JoinHandle<()>,
}

impl Restarted {
    async fn start(app: &TestApp, addr: SocketAddr) -> Self {
        let cli = settings(&app.database_url, &[]);
        let state = api::serve::state(&cli.common, cli.serve).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (api, metrics) = (TcpListener::bind(addr).await.unwrap(), TcpListener::bind(any).await.unwrap());
        let (addr, stopping) = (api.local_addr().unwrap(), state.stopping.clone());
        let listeners = Listeners { api, metrics, console: None };
        let serving = tokio::spawn(async move { serve_on(listeners, state).await.unwrap() });
        Self { addr, stopping, serving }
    }

    async fn stop(self) {
        self.stopping.cancel();
        self.serving.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_survives_a_restart_of_the_api() {
    let app = TestApp::new().await;
    let (staff, alice) = (app.staff().await, app.customer().await);
    app.product("mug", 1250, 100).await;
    let first = Restarted::start(&app, SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let addr = first.addr;
    let browser = Browser::open(&format!("http://{addr}")).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go("/console/orders").await;
    browser.fill("#find", "half a word").await;
    first.stop().await;
    browser.sees("Not live since").await;
    let order = alice.order("mug", "tok_ok").await;
    let number = staff.see(&order).await["number"].as_str().unwrap().to_owned();
    let second = Restarted::start(&app, addr).await;
    browser.sees(&number).await;
    browser.sees("Live").await;
    assert_eq!(browser.js("return document.querySelector('#find').value").await, json!("half a word"));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_live_without_redis() {
    let mut redis = RedisServer::start().await;
    let system = TestSystem::with_redis(Some(redis.url())).await;
    let (staff, alice) = (system.app.staff().await, system.app.customer().await);
    let browser = Browser::open(&system.app.url).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go("/console/orders").await;
    redis.kill().await;
    let order = system.order(&alice, "tok_ok").await;
    let number = staff.see(&order).await["number"].as_str().unwrap().to_owned();
    browser.sees(&number).await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_when_the_database_does_not_answer_and_catches_up() {
    let system = TestSystem::with_redis(Some(redis_url())).await;
    let (staff, alice) = (system.app.staff().await, system.app.customer().await);
    let browser = Browser::open(&system.app.url).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go("/console/orders").await;
    let order = system.order(&alice, "tok_ok").await;
    let number = staff.see(&order).await["number"].as_str().unwrap().to_owned();
    browser.sees(&number).await;
    // Nobody can read orders now. That is how a database that does not answer looks from here.
    let mut held = system.app.db.begin().await.unwrap();
    sqlx::raw_sql("lock table orders, actions in access exclusive mode").execute(&mut *held).await.unwrap();
    browser.sees("Not live since").await;
    held.rollback().await.unwrap();
    let order = system.order(&alice, "tok_ok").await;
    let number = staff.see(&order).await["number"].as_str().unwrap().to_owned();
    browser.sees(&number).await;
    browser.sees("Live").await;
}
