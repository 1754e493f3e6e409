//! `GET /v1/orders`.

use std::collections::HashSet;

use serde_json::{Value, json};
use shared::orders::status::Status;
use sqlx::AssertSqlSafe;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;

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
    let app = TestApp::with(&["--max-open-orders=0", "--max-unpaid-share=0"]).await;
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
async fn staff_filter_orders_by_what_they_look_for() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 50).await;
    app.product("cup", 900, 50).await;
    let (alice, bob, staff) = (app.customer().await, app.customer().await, app.staff().await);
    let mug = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201).body;
    let cup = bob.place(json!([{ "sku": "cup", "quantity": 3 }])).await.done(201).body;
    let dead = bob.order("mug", "tok_unavailable").await;
    ManualWorker::of(&app).run().await;
    let dead = staff.see(&dead).await;
    let all = [&dead["id"], &cup["id"], &mug["id"]];
    let number = mug["number"].as_str().unwrap().to_lowercase();
    for (query, expected) in [
        (format!("number={number}"), vec![&mug["id"]]),
        (format!("email={}", alice.email.to_uppercase()), vec![&mug["id"]]),
        ("sku=mug".to_owned(), vec![&dead["id"], &mug["id"]]),
        ("sku=mug&order=oldest".to_owned(), vec![&mug["id"], &dead["id"]]),
        ("next_by=staff".to_owned(), vec![&dead["id"]]),
        ("next_by=worker".to_owned(), vec![]),
        ("overdue=true".to_owned(), vec![&dead["id"]]),
        ("overdue=false".to_owned(), vec![&cup["id"], &mug["id"]]),
        ("payment=charged".to_owned(), vec![&cup["id"], &mug["id"]]),
        ("payment=pending".to_owned(), vec![&dead["id"]]),
        ("min_total=2600".to_owned(), vec![&cup["id"]]),
        ("max_total=1250".to_owned(), vec![&mug["id"]]),
        ("min_total=0&max_total=100000000".to_owned(), all.to_vec()),
        ("sku=mug&status=delivered".to_owned(), vec![&mug["id"]]),
        ("number=M-0000000".to_owned(), vec![]),
    ] {
        let found = staff.get(&format!("/v1/orders?{query}")).await.done(200).body["data"].clone();
        let ids: Vec<&Value> = found.as_array().unwrap().iter().map(|order| &order["id"]).collect();
        assert_eq!(ids, expected, "{query}");
        alice.get(&format!("/v1/orders?{query}")).await.refused(403, "forbidden");
    }
    let house = staff.get("/v1/warehouses").await.done(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    let of_house = staff.get(&format!("/v1/orders?warehouse_id={house}")).await.done(200).body["data"].clone();
    assert_eq!(of_house.as_array().unwrap().len(), 3);
    staff.get("/v1/orders?number=nonsense").await.refused(422, "invalid_number");
    staff.get("/v1/orders?next_by=nobody").await.refused(422, "invalid_value");
}

#[tokio::test]
async fn pages_of_a_filter_show_each_order_once_in_both_directions() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 50).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    for _ in 0..7 {
        alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    }
    for order in ["", "&order=oldest"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = staff.get(&format!("/v1/orders?sku=mug&limit=3{order}{cursor}")).await.done(200).body;
            seen.extend(page["data"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((seen.len(), sorted.len()), (7, 7), "{order}");
        if order.is_empty() {
            sorted.reverse();
        }
        assert_eq!(seen, sorted, "{order}");
    }
}

#[tokio::test]
async fn the_stage_of_a_state_is_the_same_in_code_and_in_postgres() {
    let app = TestApp::new().await;
    let stage = sqlx::query_scalar::<_, String>(
        "select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d
           join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
          where d.adrelid = 'orders'::regclass and a.attname = 'stage'",
    );
    let stage = stage.fetch_one(&app.db).await.unwrap();
    for status in Status::ALL {
        let derived = format!("select {stage} from (select $1::text) orders (status)");
        let derived = sqlx::query_scalar::<_, String>(AssertSqlSafe(derived)).bind(status.name());
        assert_eq!(derived.fetch_one(&app.db).await.unwrap(), status.stage(), "{status:?}");
    }
}
