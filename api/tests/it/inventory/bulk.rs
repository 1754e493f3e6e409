//! `/v1/inventory/bulk`: counts, as JSON and CSV.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::person::{Person, Reply};
use uuid::Uuid;

use super::{Shelves, fields, ids};
use crate::process::Process;

#[tokio::test]
async fn stock_is_counted_in_bulk_from_json() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
    let (mug, mugs) = shop.stocked("mug", 5).await;
    let (_, cups) = shop.stocked("cup", 7).await;
    let body = json!({ "items": [
        { "sku": "mug", "warehouse": "EAST", "quantity": 9, "at": "2026-01-02T03:04:05Z" },
        { "sku": "cup", "warehouse": shop.east, "quantity": 7 },
        { "product_id": mug, "warehouse": "WEST", "quantity": 2 },
    ]});
    let before = shop.movements().await;
    let look = shop.staff.post_with_key("/v1/inventory/bulk?dry_run=true", "look", body.clone()).await.done(200);
    assert_eq!(look.body, json!({ "counted": 3, "changed": 2, "created": 1 }));
    assert_eq!((shop.level(&mugs).await, shop.movements().await), ((5, 0, 5), before), "a look changes nothing");
    let counted = shop.staff.post_with_key("/v1/inventory/bulk", "k", body.clone()).await.done(200);
    assert_eq!(counted.body, json!({ "counted": 3, "changed": 2, "created": 1 }));
    assert_eq!((shop.level(&mugs).await, shop.level(&cups).await), ((9, 0, 9), (7, 0, 7)));
    assert_eq!(shop.movements().await, before + 2, "what is unchanged is not written");

    let ledger = shop.staff.get(&format!("/v1/inventory/movements?product_id={mug}&warehouse_id={}", shop.east)).await;
    let newest = &ledger.body["data"][0];
    assert_eq!((&newest["reason"], &newest["on_hand_delta"]), (&json!("counted"), &json!(4)));
    assert_eq!(newest["note"], "counted at 2026-01-02T03:04:05Z");
    assert_eq!(newest["actor_id"], json!(shop.staff.id));

    let again = shop.staff.post_with_key("/v1/inventory/bulk", "k", body.clone()).await.done(200);
    assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &counted.body));
    let repeated = shop.staff.post("/v1/inventory/bulk", body).await.done(200);
    assert_eq!(repeated.body, json!({ "counted": 3, "changed": 0, "created": 0 }));
}

async fn send_csv(person: &Person<'_>, key: &str, csv: &str) -> Reply {
    let request = person.request(Method::POST, "/v1/inventory/bulk").header("content-type", "text/csv; charset=utf-8");
    Reply::of(request.header("idempotency-key", key).body(csv.to_owned())).await
}

#[tokio::test]
async fn stock_is_counted_in_bulk_from_csv() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
    let (mug, mugs) = shop.stocked("mug", 5).await;
    let (_, cups) = shop.stocked("cup", 7).await;
    let csv =
        format!("\u{feff}sku, product_id,warehouse,quantity,at\nmug,,EAST,9,2026-01-02T03:04:05Z\r\n,{mug},WEST,2,\n");
    let counted = send_csv(&shop.staff, "k", &csv).await.done(200);
    assert_eq!(counted.body, json!({ "counted": 2, "changed": 2, "created": 1 }));
    assert_eq!(shop.level(&mugs).await, (9, 0, 9));
    let again = send_csv(&shop.staff, "k", &csv).await.done(200);
    assert_eq!(again.header("idempotent-replayed"), "true");

    for (csv, expected) in [
        (
            "sku,warehouse,quantity\nmug,EAST,many\ncup,EAST\ncup,EAST,3\n",
            vec![("items[0].quantity", "invalid_value"), ("items[1]", "invalid_csv")],
        ),
        ("sku,warehouse,quantity,colour\nmug,EAST,1,red\n", vec![("colour", "unknown_field")]),
        ("sku,warehouse\nmug,EAST\n", vec![("quantity", "missing_field")]),
        ("warehouse,quantity\nEAST,1\n", vec![("sku", "missing_field")]),
        ("sku,warehouse,quantity\n", vec![("items", "invalid_items")]),
        ("", vec![("warehouse", "missing_field")]),
    ] {
        let refused = send_csv(&shop.staff, "refused", csv).await;
        assert_eq!(refused.status, 422, "{refused:#?}");
        assert_eq!(fields(&refused), expected);
    }
    let other = shop.staff.request(Method::POST, "/v1/inventory/bulk").header("content-type", "text/plain").body("x");
    Reply::of(other).await.refused(415, "unsupported_media_type");
    assert_eq!((shop.level(&mugs).await, shop.level(&cups).await), ((9, 0, 9), (7, 0, 7)));
}

#[tokio::test]
async fn a_bulk_count_with_bad_rows_names_each_and_changes_nothing() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
    let (mug, mugs) = shop.stocked("mug", 5).await;
    shop.stocked("cup", 5).await;
    shop.reserve(json!([{ "product_id": mug, "quantity": 3 }])).await.done(201);
    let before = shop.movements().await;

    let body = json!({ "items": [
        { "sku": "cup", "warehouse": "EAST", "quantity": 1 },
        { "sku": "plate", "warehouse": "EAST", "quantity": 1 },
        { "product_id": Uuid::now_v7(), "warehouse": "EAST", "quantity": 1 },
        { "sku": "mug", "warehouse": "NORTH", "quantity": 1 },
        { "sku": "mug", "warehouse": Uuid::now_v7(), "quantity": 1 },
        { "sku": "mug", "warehouse": "WEST", "quantity": -1 },
        { "sku": "mug", "warehouse": "WEST", "quantity": "1" },
        { "warehouse": "WEST", "quantity": 1 },
        { "sku": "mug", "product_id": mug, "warehouse": "WEST", "quantity": 1 },
        { "sku": "mug", "warehouse": "WEST", "quantity": 1, "at": "2999-01-01T00:00:00Z" },
        { "sku": "mug", "warehouse": "WEST", "quantity": 1, "at": "yesterday" },
        { "sku": "mug", "warehouse": "WEST" },
        { "sku": "mug", "warehouse": "WEST", "quantity": 1, "colour": "red" },
        7,
        { "product_id": mug, "warehouse": shop.west, "quantity": 1 },
    ]});
    let refused = shop.staff.post("/v1/inventory/bulk", body).await;
    refused.refused(422, "validation_failed");
    assert_eq!(
        fields(&refused),
        [
            ("items[1].sku", "product_not_found"),
            ("items[2].product_id", "product_not_found"),
            ("items[3].warehouse", "warehouse_not_found"),
            ("items[4].warehouse", "warehouse_not_found"),
            ("items[5].quantity", "invalid_quantity"),
            ("items[6].quantity", "invalid_value"),
            ("items[7].sku", "missing_field"),
            ("items[8].product_id", "invalid_value"),
            ("items[9].at", "invalid_time"),
            ("items[10].at", "invalid_value"),
            ("items[11].quantity", "missing_field"),
            ("items[12].colour", "unknown_field"),
            ("items[13]", "invalid_value"),
            ("items[14]", "duplicate_row"),
        ]
    );

    let body = json!({ "items": [
        { "sku": "cup", "warehouse": "EAST", "quantity": 1 },
        { "sku": "mug", "warehouse": "EAST", "quantity": 2 },
        { "sku": "cup", "warehouse": "WEST", "quantity": 1 },
    ]});
    let refused = shop.staff.post("/v1/inventory/bulk", body).await;
    refused.refused(422, "below_reserved");
    assert_eq!(fields(&refused), [("items[1].quantity", "below_reserved")]);

    shop.staff.post("/v1/inventory/bulk", json!({ "items": [] })).await.refused(422, "invalid_items");
    shop.staff.post("/v1/inventory/bulk", json!({ "rows": [] })).await.refused(422, "unknown_field");
    assert_eq!(shop.level(&mugs).await, (5, 3, 2));
    assert_eq!(ids(&shop.staff.get("/v1/inventory").await).len(), 2);
    assert_eq!(shop.movements().await, before);
}

#[tokio::test]
async fn ten_thousand_rows_are_counted_at_once_and_one_more_is_refused() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
    let made = "insert into products (sku, name, price_minor, currency) select 'p' || lpad(n::text, 60, '0'), 'p', 1, 'USD' from generate_series(1, 10000) n";
    sqlx::query(made).execute(&app.db).await.unwrap();
    let rows = |count: usize| -> Vec<Value> {
        // Larger than the limit of 1 MiB for other bodies.
        let row = |n| json!({ "sku": format!("p{n:0>60}"), "warehouse": "EAST", "quantity": n });
        (1..=count).map(row).collect()
    };
    let counted = shop.staff.post("/v1/inventory/bulk", json!({ "items": rows(10_000) })).await.done(200);
    assert_eq!((&counted.body["counted"], &counted.body["created"]), (&json!(10_000), &json!(10_000)));
    let refused = shop.staff.post("/v1/inventory/bulk", json!({ "items": rows(10_001) })).await;
    refused.refused(422, "invalid_items");
    let huge = json!({ "items": [{ "sku": "x".repeat(17 * 1024 * 1024), "warehouse": "EAST", "quantity": 1 }] });
    shop.staff.post("/v1/inventory/bulk", huge).await.refused(413, "body_too_large");
}

/// The most memory that a process has had, in bytes.
fn peak(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// So many bytes of JSON or CSV: a beginning, many times the same, an end.
fn filled(beginning: &str, repeated: &str, end: &str) -> String {
    let room = 16 * 1024 * 1024 - beginning.len() - end.len();
    format!("{beginning}{}{end}", repeated.repeat(room / repeated.len()))
}

#[tokio::test]
async fn sixteen_megabytes_of_anything_are_refused_in_little_memory() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let (process, url) = Process::serve(&app.database_url);
    let send = async |kind: &str, body: String| {
        let request = app.http.post(format!("{url}/v1/inventory/bulk")).bearer_auth(staff.token.as_ref().unwrap());
        Reply::of(request.header("content-type", kind).header("idempotency-key", "k").body(body)).await
    };
    send("application/json", "{\"items\": []}".to_owned()).await.refused(422, "invalid_items");
    let before = peak(&process);
    for (kind, body, code) in [
        ("application/json", filled("{\"items\":[{\"a\":0}", ",{\"a\":0}", "]}"), "invalid_items"),
        ("application/json", filled("{\"items\":[{\"sku\":\"\\u0000\"}", ",{\"a\":0}", "]}"), "invalid_items"),
        ("application/json", filled("{\"items\":[{\"a\":[0", ",0", "]}]}"), "invalid_value"),
        ("application/json", filled("[0", ",0", "]"), "invalid_body"),
        ("application/json", filled("{\"a\":[0", ",0", "]}"), "unknown_field"),
        ("text/csv", filled("sku,warehouse,quantity\n", "a,b,1\n", ""), "invalid_items"),
        ("text/csv", filled("sku,warehouse,quantity\n", ",", ""), "invalid_csv"),
        ("text/csv", filled("", ",", ""), "invalid_csv"),
    ] {
        send(kind, body).await.refused(422, code);
    }
    let grown = (peak(&process) - before) / 1024 / 1024;
    // A release build stays below 64 MiB; a debug build has larger futures and buffers.
    assert!(grown < 96, "16 MiB took {grown} MiB");
}
