//! `/v1/orders/{id}/take`: who of the staff looks after an order.

use serde_json::json;
use testkit::app::TestApp;
use uuid::Uuid;

#[tokio::test]
async fn an_order_is_taken_by_one_person_and_put_back_by_anybody_of_the_staff() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 100).await;
    let (alice, sam, kim) = (app.customer().await, app.staff().await, app.staff().await);
    let path = format!("{}/take", alice.order("mug", "tok_ok").await);
    let taken = sam.post(&path, json!({})).await.done(200);
    assert_eq!(taken.body["by"]["id"], sam.id.to_string());
    assert_eq!(sam.post(&path, json!({})).await.done(200).body, taken.body, "again changes nothing");
    kim.post(&path, json!({})).await.refused(409, "order_taken");

    kim.delete(&path).await.done(204);
    kim.delete(&path).await.done(204);
    assert_eq!(kim.post(&path, json!({})).await.done(200).body["by"]["id"], kim.id.to_string());
    let actions = "select count(*) from actions where action in ('order.taken', 'order.put_back')";
    assert_eq!(app.count(actions).await, 3);

    alice.post(&path, json!({})).await.refused(403, "forbidden");
    alice.delete(&path).await.refused(403, "forbidden");
    let nothing = format!("/v1/orders/{}/take", Uuid::now_v7());
    sam.post(&nothing, json!({})).await.refused(404, "order_not_found");
}

/// Who has gone home does not hold an order for ever.
#[tokio::test]
async fn a_take_ends_after_eight_hours() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 100).await;
    let (alice, sam, kim) = (app.customer().await, app.staff().await, app.staff().await);
    let path = format!("{}/take", alice.order("mug", "tok_ok").await);
    sam.post(&path, json!({})).await.done(200);
    sqlx::query("update taken_orders set at = at - interval '8 hours 1 second'").execute(&app.db).await.unwrap();
    assert_eq!(kim.post(&path, json!({})).await.done(200).body["by"]["id"], kim.id.to_string());
}
