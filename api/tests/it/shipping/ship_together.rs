//! Many shipments recorded in one transaction.

use futures::future::join_all;
use shared::orders::ship;
use sqlx::PgPool;
use testkit::app::TestApp;
use testkit::database::through_a_proxy;
use testkit::manual_worker::ManualWorker;
use worker::error::{Done, JobError};

use super::{SHIPPING, booked_orders, status};

#[tokio::test]
async fn many_shipments_of_a_hot_product_take_few_statements_together() {
    let app = TestApp::with(&["--max-open-orders", "0"]).await;
    let mug = app.product("mug", 1, 200).await;
    let alice = app.customer().await;
    let (proxy, url) = through_a_proxy(&app.database_url).await;
    let db = PgPool::connect(&url).await.unwrap();
    let hands = ManualWorker::of(&app);
    let mut taken = Vec::new();
    for number in [1, 1, 64] {
        let booked = booked_orders(&app, &hands, &alice, number).await;
        proxy.take_statements();
        let mut tx = db.begin().await.unwrap();
        let recorded = ship::record(&mut tx, &booked).await.unwrap();
        tx.commit().await.unwrap();
        taken.push(proxy.take_statements());
        assert_eq!((recorded.finished.len(), recorded.rings.len()), (number, number));
        join_all(hands.take_all(&SHIPPING).await.iter().map(|delivery| hands.attempt(delivery))).await;
    }
    // The first run of each statement also asks for types.
    assert_eq!(taken[1], taken[2], "64 orders took other statements than one: {taken:?}");
    assert!(taken[2] <= 9, "{taken:?}");
    assert_eq!(app.shelf(mug).await, (134, 0));
    assert_eq!(app.count("select count(*) from orders where status = 'delivered'").await, 66);

    // While a recording commits, further handlers end. The next recording takes them together.
    let through = ManualWorker::with_pool(&app, db);
    for last in [false, true] {
        let booked = booked_orders(&app, &through, &alice, 64).await;
        proxy.take_statements();
        let outcomes = join_all(booked.into_iter().map(|one| through.ctx.steps.record_shipping(one))).await;
        let statements = proxy.take_statements();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Done::Recorded))), "{outcomes:?}");
        assert!(!last || statements <= 18, "64 orders took {statements} statements");
        join_all(through.take_all(&SHIPPING).await.iter().map(|delivery| through.attempt(delivery))).await;
    }
    assert_eq!(app.shelf(mug).await, (6, 0));
    assert_eq!(app.count("select count(*) from orders where status = 'delivered'").await, 194);
}

#[tokio::test]
async fn an_order_that_cannot_be_recorded_does_not_fail_its_neighbours() {
    let app = TestApp::with(&["--max-open-orders", "0"]).await;
    let mug = app.product("mug", 1, 100).await;
    let alice = app.customer().await;
    let hands = ManualWorker::of(&app);
    let booked = booked_orders(&app, &hands, &alice, 5).await;
    // No function of ours writes such a row, but the batch must still record the others.
    let poison = booked[2].order_id;
    sqlx::query("update reservations set state = 'held' where order_id = $1")
        .bind(poison.0)
        .execute(&app.db)
        .await
        .unwrap();
    let outcomes = join_all(booked.into_iter().map(|one| hands.ctx.steps.record_shipping(one))).await;
    let wrong: Vec<usize> = (0..5).filter(|n| !matches!(outcomes[*n], Ok(Done::Recorded))).collect();
    assert_eq!(wrong, [2], "{outcomes:?}");
    assert!(matches!(outcomes[2], Err(JobError::Transient(_))));
    assert_eq!((status(&app, poison).await.as_str(), app.shelf(mug).await), ("paid", (96, 1)));
}
