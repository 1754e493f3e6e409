//! Placing orders, and reading them.

use std::collections::HashSet;

use api::config::Cli;
use clap::Parser;
use futures::future::join_all;
use serde_json::{Value, json};
use shared::idempotency::{BodyHash, Key};
use shared::orders::placing::{self, OrderLine, PlaceOrder, Placement, ProductRef};
use shared::queue::Origin;
use shared::values::{CustomerId, OrderId, ProductId, UserId};
use sqlx::PgPool;
use testkit::proxy::Cut;
use uuid::Uuid;

use testkit::app::{TEST_KEY, TestApp};
use testkit::database::{new_database, through_a_proxy};
use testkit::person::{Person, Reply, order_of};
use testkit::until::until;

/// Nothing of an order is there: no row, no key, no job.
async fn assert_nothing_stored(app: &TestApp) {
    for sql in [
        "select count(*) from orders",
        "select count(*) from order_items",
        "select count(*) from order_events",
        "select count(*) from reservations",
        "select count(*) from jobs",
        "select count(*) from idempotency_keys",
        "select coalesce(sum(reserved), 0) from inventory",
    ] {
        assert_eq!(app.count(sql).await, 0, "{sql}");
    }
}

#[tokio::test]
async fn an_order_is_placed() {
    let app = TestApp::new().await;
    let (mug, pot) = (app.product("mug", 1250, 5).await, app.product("pot", 4000, 5).await);
    let alice = app.customer().await;

    let placed =
        alice.place(json!([{ "sku": "mug", "quantity": 2 }, { "product_id": pot, "quantity": 1 }])).await.done(201);

    let order = &placed.body;
    assert_eq!(order["status"], "pending");
    assert_eq!(order["total"], json!({ "amount": 6500, "currency": "USD" }));
    assert_eq!(order["items"][0]["product_id"], json!(mug));
    assert_eq!(order["items"][0]["unit_price"]["amount"], 1250);
    assert_eq!(order["items"][1]["sku"], "pot");
    assert_eq!(order["next_action"]["what"], "payment");
    assert_eq!(order["next_action"]["by"], "worker");
    assert_eq!(placed.header("location"), format!("/v1/orders/{}", placed.id()));

    // Stock is held, and the payment job is there, with the request's id.
    assert_eq!((app.available(mug).await, app.available(pot).await), (3, 4));
    let (kind, queue, state, request_id, args): (String, String, String, String, Value) =
        sqlx::query_as("select kind, queue::text, state, request_id, args from jobs").fetch_one(&app.db).await.unwrap();
    assert_eq!((kind.as_str(), queue.as_str(), state.as_str()), ("process_payment", "high", "ready"));
    assert_eq!(request_id, placed.header("x-request-id"));
    assert_eq!(args, json!({ "order_id": order["id"] }));

    let timeline = alice.get(&format!("{}/events", placed.header("location"))).await.done(200);
    assert_eq!(timeline.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(timeline.body["data"][0]["type"], "placed");
    assert_eq!(timeline.body["data"][0]["sequence"], 1);
    assert_eq!(timeline.body["data"][0]["data"]["sourcing"]["how"], "together");

    let read = alice.get(placed.header("location")).await.done(200);
    assert_eq!(read.body["items"], order["items"]);
    assert_eq!(read.body["number"], order["number"]);
    assert_eq!(read.header("etag"), placed.header("etag"));
}

#[tokio::test]
async fn an_order_is_refused_with_insufficient_stock_and_nothing_is_stored() {
    let app = TestApp::new().await;
    let (mug, pot) = (app.product("mug", 1250, 5).await, app.product("pot", 4000, 1).await);
    let alice = app.customer().await;

    let refused = alice
        .post_with_key(
            "/v1/orders",
            "k",
            order_of(json!([{ "product_id": mug, "quantity": 2 }, { "sku": "pot", "quantity": 3 }])),
        )
        .await;

    refused.refused(409, "insufficient_stock");
    let line = &refused.body["errors"][0];
    assert_eq!(line["field"], "items[1].quantity");
    assert_eq!((&line["requested"], &line["available"]), (&json!(3), &json!(1)));
    assert_eq!((&line["product_id"], &line["sku"]), (&json!(pot), &json!("pot")));
    assert_nothing_stored(&app).await;

    // A refusal frees its key.
    alice.post_with_key("/v1/orders", "k", order_of(json!([{ "sku": "pot", "quantity": 1 }]))).await.done(201);
}

#[tokio::test]
async fn unknown_and_inactive_products_are_refused_by_line() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let old = app.product("old", 1250, 5).await;
    sqlx::query("update products set active = false where id = $1").bind(old).execute(&app.db).await.unwrap();
    let alice = app.customer().await;
    let nobody = Uuid::now_v7();
    for (lines, code, field) in [
        (
            json!([{ "product_id": mug, "quantity": 1 }, { "product_id": nobody, "quantity": 1 }]),
            "product_not_found",
            "items[1].product_id",
        ),
        (json!([{ "sku": "nothing", "quantity": 1 }]), "product_not_found", "items[0].sku"),
        (json!([{ "product_id": old, "quantity": 1 }]), "product_inactive", "items[0].product_id"),
    ] {
        let refused = alice.place(lines).await;
        refused.refused(422, code);
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
    assert_nothing_stored(&app).await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1_000_000_000_000, 1_000_000).await;
    let alice = app.customer().await;
    let line = json!({ "product_id": mug, "quantity": 1 });
    let with = |field: &str, value: Value| {
        let mut body = order_of(json!([line]));
        body[field] = value;
        body
    };
    for (body, status, code) in [
        (json!({}), 422, "missing_field"),
        (with("items", json!([])), 422, "invalid_items"),
        (with("items", json!(vec![line.clone(); 101])), 422, "invalid_items"),
        (with("items", json!([{ "product_id": mug, "quantity": 0 }])), 422, "invalid_quantity"),
        (with("items", json!([{ "product_id": mug, "quantity": -1 }])), 422, "invalid_quantity"),
        (with("items", json!([{ "product_id": mug, "quantity": 10_001 }])), 422, "invalid_quantity"),
        (with("items", json!([{ "product_id": mug, "quantity": 1.5 }])), 422, "invalid_value"),
        (
            with("items", json!([{ "product_id": mug, "quantity": 6000 }, { "sku": "mug", "quantity": 6000 }])),
            422,
            "invalid_quantity",
        ),
        (with("items", json!([{ "product_id": mug, "sku": "mug", "quantity": 1 }])), 422, "product_or_sku"),
        (with("items", json!([{ "quantity": 1 }])), 422, "product_or_sku"),
        (with("items", json!([{ "product_id": "mug", "quantity": 1 }])), 422, "invalid_value"),
        (with("items", json!([{ "product_id": mug, "quantity": 1, "price": 1 }])), 422, "unknown_field"),
        (with("items", json!("mug")), 422, "invalid_value"),
        (with("payment_token", json!("")), 422, "invalid_payment_token"),
        (with("payment_token", json!("tok\u{0}ok")), 422, "invalid_text"),
        (with("shipping_address", json!({})), 422, "invalid_address"),
        (with("shipping_address", json!({ "line1": "x".repeat(501) })), 422, "invalid_address"),
        (with("shipping_address", json!({ "line1": { "deep": {} } })), 422, "invalid_address"),
        (with("coupon", json!("x")), 422, "unknown_field"),
    ] {
        alice.post("/v1/orders", body).await.refused(status, code);
    }
    assert_nothing_stored(&app).await;

    // A price and a quantity at their limits make a total that is still right.
    let placed = alice.place(json!([{ "product_id": mug, "quantity": 10_000 }])).await.done(201);
    assert_eq!(placed.body["total"]["amount"], 10_000_000_000_000_000_i64);
}

#[tokio::test]
async fn the_same_product_on_two_lines_is_one_line_with_the_sum() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 100, 5).await;
    let alice = app.customer().await;
    let lines = json!([{ "product_id": mug, "quantity": 2 }, { "sku": "mug", "quantity": 3 }]);
    let placed = alice.place(lines.clone()).await.done(201);
    assert_eq!(placed.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(placed.body["items"][0]["quantity"], 5);
    alice.place(lines).await.refused(409, "insufficient_stock");
}

#[tokio::test]
async fn the_price_at_placement_stays_when_the_product_changes() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let placed = alice.place(json!([{ "product_id": mug, "quantity": 2 }])).await.done(201);
    sqlx::query("update products set price_minor = 9999, name = 'Renamed' where id = $1")
        .bind(mug)
        .execute(&app.db)
        .await
        .unwrap();
    let read = alice.get(placed.header("location")).await.done(200);
    assert_eq!(read.body["items"], placed.body["items"]);
    assert_eq!(read.body["total"]["amount"], 2500);
    let next = alice.place(json!([{ "product_id": mug, "quantity": 1 }])).await.done(201);
    assert_eq!(next.body["total"]["amount"], 9999);
}

#[tokio::test]
async fn a_customer_sees_own_orders_and_staff_see_all_with_customers() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 50).await;
    let (alice, bob, staff) = (app.customer().await, app.customer().await, app.staff().await);
    let mine = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    let theirs = bob.place(json!([{ "sku": "mug", "quantity": 2 }])).await.done(201);

    let list = alice.get("/v1/orders").await.done(200);
    assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(list.body["data"][0]["id"], mine.body["id"]);
    assert_eq!(list.body["data"][0]["items"], mine.body["items"]);
    assert_eq!(list.body["data"][0]["customer"], Value::Null);
    alice.get(theirs.header("location")).await.refused(404, "order_not_found");
    alice.get(&format!("{}/events", theirs.header("location"))).await.refused(404, "order_not_found");
    let asked = format!("/v1/orders?customer_id={}", theirs.body["customer_id"].as_str().unwrap());
    assert_eq!(alice.get(&asked).await.done(200).body["data"], json!([]));

    let all = staff.get("/v1/orders").await.done(200);
    assert_eq!(all.body["data"].as_array().unwrap().len(), 2);
    assert_eq!(all.body["data"][0]["id"], theirs.body["id"]);
    assert_eq!(all.body["data"][0]["customer"]["email"], bob.email);
    assert_eq!(staff.get(&asked).await.done(200).body["data"].as_array().unwrap().len(), 1);
    staff.get(mine.header("location")).await.done(200);
    app.anyone().get("/v1/orders").await.refused(401, "unauthenticated");
    app.anyone().place(json!([])).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn orders_are_filtered_by_status_and_time() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 50).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let first = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    let second = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    let (from, to) = (first.body["created_at"].as_str().unwrap(), second.body["created_at"].as_str().unwrap());
    for who in [&alice, &staff] {
        for (query, expected) in [
            ("status=pending".to_owned(), 2),
            ("status=paid".to_owned(), 0),
            (format!("from={from}"), 2),
            (format!("from={to}"), 1),
            (format!("to={to}"), 1),
            (format!("from={from}&to={to}&status=pending"), 1),
        ] {
            let list = who.get(&format!("/v1/orders?{query}")).await.done(200);
            assert_eq!(list.body["data"].as_array().unwrap().len(), expected, "{query}");
        }
        who.get("/v1/orders?status=lost").await.refused(422, "invalid_value");
        who.get("/v1/orders?colour=red").await.refused(422, "unknown_field");
        who.get("/v1/orders?from=yesterday").await.refused(422, "invalid_value");
    }
}

#[tokio::test]
async fn pages_are_stable_while_orders_are_added() {
    let app = TestApp::with(&["--max-open-orders", "0"]).await;
    app.product("mug", 1250, 50).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let mut expected = Vec::new();
    for _ in 0..7 {
        let placed = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
        expected.insert(0, placed.body["id"].clone());
    }
    for who in [&alice, &staff] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = who.get(&format!("/v1/orders?limit=3{cursor}")).await.done(200);
            seen.extend(page.body["data"].as_array().unwrap().iter().map(|order| order["id"].clone()));
            alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
            let Some(next) = page.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            who.get(&format!("/v1/orders?status=paid{cursor}")).await.refused(422, "invalid_cursor");
        }
        assert!(seen.ends_with(&expected), "{seen:?} is not {expected:?}");
        assert_eq!(seen.len(), seen.iter().collect::<HashSet<_>>().len(), "no order twice");
    }
    staff.get("/v1/orders?limit=501").await.refused(422, "invalid_limit");
}

#[tokio::test]
async fn staff_place_for_a_customer_and_customers_only_for_themselves() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 50).await;
    let (alice, bob, staff) = (app.customer().await, app.customer().await, app.staff().await);
    let own = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    let alices = own.body["customer_id"].clone();
    let mut body = order_of(json!([{ "sku": "mug", "quantity": 1 }]));
    body["customer_id"] = alices.clone();
    bob.post("/v1/orders", body.clone()).await.refused(403, "forbidden");
    let placed = staff.post("/v1/orders", body.clone()).await.done(201);
    assert_eq!(placed.body["customer_id"], alices);
    alice.get(placed.header("location")).await.done(200);
    body["customer_id"] = json!(Uuid::now_v7());
    staff.post("/v1/orders", body).await.refused(422, "customer_not_found");
    assert_eq!(app.count("select count(*) from orders").await, 2);
}

#[tokio::test]
async fn lines_come_from_the_first_warehouse_that_has_them_all() {
    let app = TestApp::new().await;
    let (mug, pot) = (app.bare_product("mug", 1).await, app.bare_product("pot", 1).await);
    let (near, far) = (app.warehouse("NEAR", 1).await, app.warehouse("FAR", 2).await);
    let closed = app.warehouse("CLOSED", 0).await;
    sqlx::query("update warehouses set active = false where id = $1").bind(closed).execute(&app.db).await.unwrap();
    app.stock(mug, near, 5).await;
    app.stock(mug, far, 5).await;
    app.stock(pot, far, 5).await;
    app.stock(pot, closed, 50).await;
    let alice = app.customer().await;
    let sourced = async |lines: Value| {
        let placed = alice.place(lines).await.done(201);
        let events = alice.get(&format!("{}/events", placed.header("location"))).await.done(200);
        let sourcing = events.body["data"][0]["data"]["sourcing"].clone();
        let from: Vec<Value> =
            sourcing["from"].as_array().unwrap().iter().map(|one| one["warehouse_id"].clone()).collect();
        (sourcing["how"].as_str().unwrap().to_owned(), from)
    };
    assert_eq!(sourced(json!([{ "sku": "mug", "quantity": 1 }])).await, ("together".to_owned(), vec![json!(near)]));
    let both = json!([{ "sku": "mug", "quantity": 1 }, { "sku": "pot", "quantity": 1 }]);
    assert_eq!(sourced(both).await, ("together".to_owned(), vec![json!(far), json!(far)]));
    let (how, _) = sourced(json!([{ "sku": "mug", "quantity": 8 }])).await;
    assert_eq!(how, "split");
    alice.place(json!([{ "sku": "pot", "quantity": 5 }])).await.refused(409, "insufficient_stock");
}

#[tokio::test]
async fn the_same_key_is_one_order_and_the_same_answer() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    let body = order_of(json!([{ "sku": "mug", "quantity": 1 }]));

    let first = alice.post_with_key("/v1/orders", "k-1", body.clone()).await.done(201);
    assert_eq!(first.header("idempotent-replayed"), "");
    // What became of the order and of the product meanwhile does not change the first answer.
    sqlx::query("update orders set status = 'paid', version = 2, updated_at = now()").execute(&app.db).await.unwrap();
    sqlx::query("update products set name = 'Renamed', price_minor = 1").execute(&app.db).await.unwrap();
    let second = alice.post_with_key("/v1/orders", "k-1", body.clone()).await.done(201);
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!((&second.body, second.header("location")), (&first.body, first.header("location")));
    assert_eq!(second.header("etag"), first.header("etag"));

    let other = order_of(json!([{ "sku": "mug", "quantity": 2 }]));
    alice.post_with_key("/v1/orders", "k-1", other).await.refused(422, "idempotency_key_reused");
    alice.post_with_key("/v1/orders", &"k".repeat(256), body.clone()).await.refused(422, "invalid_idempotency_key");
    assert_eq!(app.count("select count(*) from orders").await, 1);

    // Keys are per caller, and a key of yesterday is forgotten.
    bob.post_with_key("/v1/orders", "k-1", body.clone()).await.done(201);
    sqlx::query("update idempotency_keys set created_at = now() - interval '25 hours'").execute(&app.db).await.unwrap();
    let fresh = alice.post_with_key("/v1/orders", "k-1", body).await.done(201);
    assert_ne!(fresh.body["id"], first.body["id"]);
}

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
    let app = TestApp::with(&["--max-open-orders", "0"]).await;
    let other = TestApp::on(&app.database_url, &["--max-open-orders", "0"]).await;
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
    let app = TestApp::with(&["--max-open-orders", "3"]).await;
    let other = TestApp::on(&app.database_url, &["--max-open-orders", "3"]).await;
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
    // The row is locked, so the first order waits and the second finds the bound reached.
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
    // No front door lets this in; the batch must survive it all the same.
    let poison = PlaceOrder { customer_id: CustomerId(Uuid::now_v7()), id: OrderId::new(), ..good.clone() };
    let batch = [good.clone(), poison, PlaceOrder { id: OrderId::new(), ..good }];
    let placements = placing::place(&app.db, &batch, &app.state.settings.terms()).await;
    assert!(
        matches!(placements[..], [Placement::Placed(..), Placement::Refused(_), Placement::Placed(..)]),
        "{placements:?}"
    );
}

/// An order as the lanes have it.
async fn order(app: &TestApp, who: &Person<'_>, product: Uuid, key: Option<&str>) -> PlaceOrder {
    let customer_id = sqlx::query_scalar("select id from customers where user_id = $1")
        .bind(who.id)
        .fetch_one(&app.db)
        .await
        .unwrap();
    PlaceOrder {
        id: OrderId::new(),
        placed_by: UserId(who.id),
        customer_id: CustomerId(customer_id),
        lines: vec![OrderLine { product: ProductRef::Id(ProductId(product)), quantity: 1.try_into().unwrap() }],
        payment_token: "tok_ok".parse().unwrap(),
        shipping_address: serde_json::from_value(json!({ "line1": "1 Mill Lane" })).unwrap(),
        key: key.map(|key| (Key::parse(key).unwrap(), BodyHash::of("POST", "/v1/orders", b"{}"))),
        origin: Origin::default(),
    }
}

#[tokio::test]
async fn placing_takes_few_statements_whatever_the_size_of_the_batch() {
    let app = TestApp::with(&["--max-open-orders", "0"]).await;
    let (mug, pot) = (app.product("mug", 1, 10_000).await, app.product("pot", 1, 1).await);
    let alice = app.customer().await;
    let (proxy, url) = through_a_proxy(&app.database_url).await;
    let db = PgPool::connect(&url).await.unwrap();
    let mut terms = app.state.settings.terms();
    for limit in [0, 1000] {
        terms.max_open_orders = limit;
        // The first run of each statement also asks about types; that is once per connection.
        for key in [None, Some(format!("warm {limit}"))] {
            let one = order(&app, &alice, mug, key.as_deref()).await;
            placing::place(&db, &[one], &terms).await;
        }
        proxy.take_statements();
        let one = order(&app, &alice, mug, Some(&format!("one {limit}"))).await;
        let replay = PlaceOrder { id: OrderId::new(), ..one.clone() };
        assert!(matches!(placing::place(&db, &[one], &terms).await[..], [Placement::Placed(..)]));
        let single = proxy.take_statements();
        assert!(single <= 7, "one order took {single} statements");

        let mut batch = Vec::new();
        for n in 0..62 {
            batch.push(order(&app, &alice, mug, Some(&format!("{limit} {n}"))).await);
        }
        let mut short = order(&app, &alice, pot, Some(&format!("short {limit}"))).await;
        short.lines[0].quantity = 2.try_into().unwrap();
        batch.extend([replay, short]);
        proxy.take_statements();
        let placements = placing::place(&db, &batch, &terms).await;
        let many = proxy.take_statements();
        assert!(matches!(placements[..], [.., Placement::Replayed(_), Placement::Refused(_)]), "{placements:?}");
        assert_eq!(placements.iter().filter(|one| matches!(one, Placement::Placed(..))).count(), 62);
        assert!(many <= 9, "64 orders took {many} statements");
    }
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_does_not_sell_twice() {
    // The first order is a batch of its own: it must be found by its key, and without one by its id.
    for (cut, first) in [(Cut::BeforeCommit, 0), (Cut::BeforeCommit, 1), (Cut::AfterCommit, 0), (Cut::AfterCommit, 1)] {
        let direct = TestApp::new().await;
        let mug = direct.product("mug", 1, 100).await;
        let (proxy, url) = through_a_proxy(&direct.database_url).await;
        let app = TestApp::on(&url, &[]).await;
        let mut buyers = Vec::new();
        for _ in 0..20 {
            buyers.push(Person { app: &app, ..direct.customer().await });
        }
        // Half of the orders have a key; both halves must be found again.
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

#[tokio::test]
async fn with_the_database_away_an_order_is_refused_and_may_be_repeated() {
    let database_url = new_database().await;
    let app = TestApp::on(&database_url, &[]).await;
    app.product("mug", 1, 100).await;
    let alice = app.customer().await;
    alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    app.state.db.close().await;
    let refused = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await;
    refused.refused(503, "unavailable");
    assert_eq!(app.count("select count(*) from orders").await, 1);
}

#[test]
fn a_wrong_setting_is_named() {
    let refused = Cli::try_parse_from([
        "millrace-api",
        "--database-url",
        "x",
        "--jwt-private-key",
        TEST_KEY,
        "--reservation-ttl",
        "soon",
    ]);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("--reservation-ttl") && message.contains("15m"), "{message}");
}
