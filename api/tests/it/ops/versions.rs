//! The versions for live pages: each changes with what it stands for, and with nothing else.

use serde_json::json;
use shared::ops::versions::{self, Versions};
use shared::values::OrderId;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;

use super::{dead_job, sql};

async fn read(app: &TestApp, followed: &[OrderId]) -> Versions {
    versions::read(&mut app.db.acquire().await.unwrap(), followed).await.unwrap()
}

#[tokio::test]
async fn each_version_changes_with_what_it_stands_for() {
    let app = TestApp::new().await;
    let empty = read(&app, &[]).await;
    assert_eq!((empty.orders, empty.dead, empty.audit, empty.followed.len()), (None, None, None, 0));

    app.product("mug", 1250, 50).await;
    let alice = app.customer().await;
    let first = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201).id().parse().unwrap();
    let second = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201).id().parse().unwrap();
    let followed = [OrderId(first), OrderId(uuid::Uuid::now_v7())];
    let placed = read(&app, &followed).await;
    assert_eq!(placed.orders, Some(second));
    assert_eq!(placed.followed.keys().collect::<Vec<_>>(), [&first]);
    assert_eq!(read(&app, &followed).await, placed);

    // Only the followed order moves on.
    ManualWorker::of(&app).pay(OrderId(first)).await;
    let paid = read(&app, &followed).await;
    assert_eq!(paid.orders, placed.orders);
    assert!(paid.followed[&first].events > placed.followed[&first].events);
    assert_ne!(paid.followed[&first].jobs, placed.followed[&first].jobs);

    let job = dead_job(&app, "noop", "default", "boom").await;
    sql(
        &app,
        "update queues set paused = true, changed_at = now() where name = 'low';
         insert into workers (id, host, pid, version, queues, kinds) values (uuidv7(), 'mill-1', 11, '0.1.0', '{low}', '{}')",
    )
    .await;
    shared::audit::run(&mut app.db.acquire().await.unwrap()).await.unwrap();
    let staff = app.staff().await;
    staff.post("/v1/ops/queues/low/resume", json!({})).await.done(200);
    let later = read(&app, &followed).await;
    assert_eq!(later.dead.map(|id| id.to_string()), Some(job));
    assert!(later.audit.is_some() && later.actions > paid.actions);
    assert_ne!((&later.queues, &later.workers), (&paid.queues, &paid.workers));
    assert_eq!(later.followed, paid.followed);
}
