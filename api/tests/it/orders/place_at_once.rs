//! `POST /v1/orders`, many orders at once: batches, limits, lost commits.

use std::collections::HashSet;

use futures::future::join_all;
use serde_json::json;
use shared::idempotency::{BodyHash, Key};
use shared::orders::placing::request::{MaxUnpaid, OrderLine, PlaceOrder, Placement, ProductRef};
use shared::orders::placing::retry;
use shared::principal::By;
use shared::queue::Origin;
use shared::values::whole_number::WholeNumber;
use shared::values::{CustomerId, OrderId, ProductId};
use sqlx::PgPool;
use testkit::app::TestApp;
use testkit::database::through_a_proxy;
use testkit::person::{Person, Reply, order_of};
use testkit::proxy::Cut;
use testkit::until::until;
use uuid::Uuid;

#[tokio::test]
async fn fifty_at_once_with_one_key_over_two_processes_are_one_order() {
    let app = TestApp::new().await;
    let other = TestApp::on(&app.database_url, &[]).await;
    app.product("mug", 1250, 500).await;
    let alice = app.customer().await;
    let there = Person { app: &other, ..alice.clone() };
    let body = order_of(json!([{ "sku": "mug", "quantity": 1 }]));
    let replies = join_all((0..50).map(|n| {
        let who = if n % 2 == 0 { &alice } else { &there };
        who.post_with_key("/v1/orders", "one", body.clone())
    }))
    .await;
    assert!(replies.iter().all(|reply| reply.status == 201), "{replies:#?}");
    assert!(replies.iter().all(|reply| reply.body == replies[0].body));
    assert_eq!(replies.iter().filter(|reply| reply.header("idempotent-replayed").is_empty()).count(), 1);
    assert_eq!(app.count("select count(*) from orders").await, 1);
}

#[tokio::test]
async fn many_buyers_of_few_units_buy_exactly_those() {
    let app = TestApp::new().await;
    let other = TestApp::on(&app.database_url, &[]).await;
    let mug = app.product("mug", 1250, 100).await;
    let mut buyers = Vec::new();
    for _ in 0..20 {
        buyers.push(app.customer().await);
    }
    let replies = join_all((0..400).map(|n| {
        let app = if n % 2 == 0 { &app } else { &other };
        let buyer = Person { app, ..buyers[n % buyers.len()].clone() };
        async move { buyer.place(json!([{ "product_id": mug, "quantity": 1 }])).await }
    }))
    .await;
    let sold = replies.iter().filter(|reply| reply.status == 201).count();
    let refused = replies.iter().filter(|reply| reply.status == 409 && reply.code() == "insufficient_stock").count();
    assert_eq!((sold, refused), (100, 300));
    assert_eq!(app.available(mug).await, 0);
    assert_eq!(app.count("select sum(quantity)::bigint from order_items").await, 100);
}

#[tokio::test]
async fn opposite_line_orders_never_deadlock() {
    let unlimited = ["--max-open-orders=0", "--max-unpaid-units=0"];
    let app = TestApp::with(&unlimited).await;
    let other = TestApp::on(&app.database_url, &unlimited).await;
    for sku in ["a", "b", "c"] {
        app.product(sku, 1, 10_000).await;
    }
    let alice = app.customer().await;
    let there = Person { app: &other, ..alice.clone() };
    let replies = join_all((0..200).map(|n| {
        let who = if n % 2 == 0 { &alice } else { &there };
        let mut skus = ["a", "b", "c"];
        skus.rotate_left(n % 3);
        if n % 2 == 0 {
            skus.reverse();
        }
        who.place(skus.iter().map(|sku| json!({ "sku": sku, "quantity": 1 })).collect())
    }))
    .await;
    assert!(replies.iter().all(|reply| reply.status == 201), "{replies:#?}");
    assert_eq!(app.count("select deadlocks from pg_stat_database where datname = current_database()").await, 0);
}

#[tokio::test]
async fn a_customer_has_so_many_unpaid_orders_and_no_more() {
    const CHARGED_NOBODY: &str = "it marks orders as paid that nobody was charged for";
    let app = TestApp::with(&["--max-open-orders", "3"]).await.without_audit(CHARGED_NOBODY);
    let other = TestApp::on(&app.database_url, &["--max-open-orders", "3"]).await.without_audit(CHARGED_NOBODY);
    for sku in ["a", "b", "c", "d"] {
        app.product(sku, 1, 100).await;
    }
    let alice = app.customer().await;
    let there = Person { app: &other, ..alice.clone() };
    let replies = join_all((0..12).map(|n| {
        let who = if n % 2 == 0 { &alice } else { &there };
        let sku = ["a", "b", "c", "d"][n % 4];
        who.place(json!([{ "sku": sku, "quantity": 1 }]))
    }))
    .await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 3);
    assert_eq!(replies.iter().filter(|reply| reply.code() == "too_many_open_orders").count(), 9);
    sqlx::query("update orders set status = 'paid'").execute(&app.db).await.unwrap();
    alice.place(json!([{ "sku": "a", "quantity": 1 }])).await.done(201);
}

#[tokio::test]
async fn past_the_bound_of_orders_in_flight_one_is_told_so_at_once() {
    let app = TestApp::with(&["--max-placements-in-flight", "1"]).await;
    app.product("mug", 1, 100).await;
    let alice = app.customer().await;
    // The row is locked, so the first order waits, and the second one exceeds the limit.
    let mut lock = app.db.begin().await.unwrap();
    sqlx::query("select from inventory for update").execute(&mut *lock).await.unwrap();
    let first = alice.place(json!([{ "sku": "mug", "quantity": 1 }]));
    let second = async {
        until("the first order waits for the lock", async || {
            app.count(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
            )
            .await
                > 0
        })
        .await;
        let second = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await;
        lock.rollback().await.unwrap();
        second
    };
    let (first, second) = tokio::join!(first, second);
    first.done(201);
    second.refused(503, "overloaded");
    assert_eq!(second.header("retry-after"), "1");
}

#[tokio::test]
async fn a_poisonous_order_does_not_fail_its_neighbours() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1, 100).await;
    let alice = app.customer().await;
    let good = order(&app, &alice, mug, None).await;
    // No route accepts such an order, but the batch must still place the others.
    let poison = PlaceOrder { customer_id: CustomerId(Uuid::now_v7()), id: OrderId::new(), ..good.clone() };
    let batch = [good.clone(), poison, PlaceOrder { id: OrderId::new(), ..good }];
    let placements = retry::place(&app.db, &batch, &app.state.settings.terms()).await;
    assert!(
        matches!(placements[..], [Placement::Placed(..), Placement::Refused(_), Placement::Placed(..)]),
        "{placements:?}"
    );
}

/// An order as the lanes get it.
async fn order(app: &TestApp, who: &Person<'_>, product: Uuid, key: Option<&str>) -> PlaceOrder {
    let customer_id = sqlx::query_scalar("select id from customers where user_id = $1")
        .bind(who.id)
        .fetch_one(&app.db)
        .await
        .unwrap();
    PlaceOrder {
        id: OrderId::new(),
        placed_by: By { id: who.id, name: "Alice".to_owned() },
        customer_id: CustomerId(customer_id),
        lines: vec![OrderLine {
            product: ProductRef::Id(ProductId(product)),
            quantity: WholeNumber(1).try_into().unwrap(),
        }],
        payment_token: "tok_ok".parse().unwrap(),
        shipping_address: serde_json::from_value(json!({ "line1": "1 Mill Lane" })).unwrap(),
        key: key.map(|key| (Key::parse(key).unwrap(), BodyHash::of("POST", "/v1/orders", b"{}"))),
        origin: Origin::default(),
    }
}

#[tokio::test]
async fn placing_takes_few_statements_whatever_the_size_of_the_batch() {
    let app = TestApp::with(&["--max-open-orders=0", "--max-unpaid-units=0", "--max-unpaid-share=0"]).await;
    let (mug, pot) = (app.product("mug", 1, 10_000).await, app.product("pot", 1, 1).await);
    let alice = app.customer().await;
    let (proxy, url) = through_a_proxy(&app.database_url).await;
    let db = PgPool::connect(&url).await.unwrap();
    let mut terms = app.state.settings.terms();
    for limit in [0, 1000] {
        terms.max_open_orders = limit;
        terms.max_unpaid = MaxUnpaid { units: limit, share: limit.min(20), value: limit.into() };
        // sqlx asks for types when a connection runs a statement for the first time.
        for key in [None, Some(format!("warm {limit}"))] {
            let one = order(&app, &alice, mug, key.as_deref()).await;
            retry::place(&db, &[one], &terms).await;
        }
        proxy.take_statements();
        let one = order(&app, &alice, mug, Some(&format!("one {limit}"))).await;
        let replay = PlaceOrder { id: OrderId::new(), ..one.clone() };
        assert!(matches!(retry::place(&db, &[one], &terms).await[..], [Placement::Placed(..)]));
        let single = proxy.take_statements();
        assert!(single <= 7, "one order took {single} statements");

        let mut batch = Vec::new();
        for n in 0..62 {
            batch.push(order(&app, &alice, mug, Some(&format!("{limit} {n}"))).await);
        }
        let mut short = order(&app, &alice, pot, Some(&format!("short {limit}"))).await;
        short.lines[0].quantity = WholeNumber(2).try_into().unwrap();
        batch.extend([replay, short]);
        proxy.take_statements();
        let placements = retry::place(&db, &batch, &terms).await;
        let many = proxy.take_statements();
        assert!(matches!(placements[..], [.., Placement::Replayed(_), Placement::Refused(_)]), "{placements:?}");
        assert_eq!(placements.iter().filter(|one| matches!(one, Placement::Placed(..))).count(), 62);
        assert!(many <= 9, "64 orders took {many} statements");
    }
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_does_not_sell_twice() {
    // The first order is a batch of its own. After a lost answer it must be found by its key, or by its id if it has no
    // key.
    for (cut, first) in [(Cut::BeforeCommit, 0), (Cut::BeforeCommit, 1), (Cut::AfterCommit, 0), (Cut::AfterCommit, 1)] {
        let direct = TestApp::new().await;
        let mug = direct.product("mug", 1, 100).await;
        let (proxy, url) = through_a_proxy(&direct.database_url).await;
        let app = TestApp::on(&url, &[]).await;
        let mut buyers = Vec::new();
        for _ in 0..20 {
            buyers.push(Person { app: &app, ..direct.customer().await });
        }
        // Half of the orders have a key. All must be found again.
        let keyed = |n: usize| if n % 2 == first { vec![("idempotency-key", "k")] } else { vec![] };
        let body = order_of(json!([{ "product_id": mug, "quantity": 1 }]));
        proxy.cut_next(cut);
        let replies = join_all(buyers.iter().enumerate().map(|(n, buyer)| {
            let body = body.clone();
            async move { buyer.send(reqwest::Method::POST, "/v1/orders", Some(body), &keyed(n)).await }
        }))
        .await;

        assert_eq!(proxy.cuts(), 1, "{cut:?}: the commit was cut");
        assert!(replies.iter().all(|reply| reply.status == 201), "{cut:?}: {replies:#?}");
        let ids: HashSet<&str> = replies.iter().map(Reply::id).collect();
        assert_eq!(ids.len(), 20);
        assert_eq!(direct.count("select count(*) from orders").await, 20, "{cut:?}");
        assert_eq!(direct.available(mug).await, 80, "{cut:?}");
        for (n, buyer) in buyers.iter().enumerate().filter(|(n, _)| n % 2 == first) {
            let again = buyer.send(reqwest::Method::POST, "/v1/orders", Some(body.clone()), &keyed(n)).await.done(201);
            assert_eq!(again.body, replies[n].body);
        }
        direct.assert_clean().await;
    }
}
