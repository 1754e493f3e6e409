//! What is removed from the feed, and a feed that was restored from a dump.

use std::time::Duration;

use serde_json::json;
use shared::error::Error;
use shared::feed::{rebuild, retention, sequencer};
use sqlx::PgPool;
use testkit::app::TestApp;

use super::{ids, types};

async fn remove_all(db: &PgPool) -> i64 {
    retention::remove_old(&mut db.acquire().await.unwrap(), Duration::ZERO).await.unwrap()
}

#[tokio::test]
async fn a_cursor_expires_when_something_behind_it_is_removed() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 90).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    app.number_events().await;
    let start = staff.get("/v1/events?limit=1").await.done(200).body["next_cursor"].as_str().unwrap().to_owned();
    let (_, end) = staff.feed(None, "").await;
    assert_eq!(retention::remove_old(&mut app.db.acquire().await.unwrap(), Duration::from_mins(1)).await.unwrap(), 0);
    assert_eq!(remove_all(&app.db).await, 2);

    let expired = staff.get(&format!("/v1/events?after={start}")).await;
    expired.refused(410, "cursor_expired");
    let oldest = expired.body["oldest"].as_str().unwrap();
    assert_eq!(oldest, end, "nothing is left before it");
    let (none, _) = staff.feed(Some(&end), "").await;
    assert_eq!(none.len(), 0, "nothing behind this cursor was removed, however old it is");
    let new = alice.order("mug", "tok_ok").await;
    app.number_events().await;
    for after in [None, Some(oldest)] {
        let (events, _) = staff.feed(after, "").await;
        assert_eq!(types(&events), ["order.placed"]);
    }
    // The timeline stays, and the next event of a product has the next number.
    assert_eq!(remove_all(&app.db).await, 1);
    assert_eq!(alice.story(&new).await, ["placed"]);
    let mug = staff.get("/v1/products?q=mug").await.done(200).body["data"][0]["id"].clone();
    staff.patch(&format!("/v1/products/{}", mug.as_str().unwrap()), json!({ "name": "Jug" })).await.done(200);
    app.number_events().await;
    let (events, _) = staff.feed(None, "").await;
    assert_eq!((types(&events), &events[0]["sequence"]), (vec!["product.changed"], &json!(2)));
    assert_eq!(remove_all(&app.db).await, 1);
    assert_eq!(
        app.count("select count(*) from entity_events").await,
        2,
        "the last one of the product and of its stock"
    );
}

/// What a restored dump looks like: transactions of the lost cluster, which this one has not reached. The head has seen still
/// later ones, so that no event seems to wait.
const AS_IF_RESTORED: &str = "
    update order_events set xact = (xact::text::bigint + 1000000000)::text::xid8;
    update entity_events set xact = (xact::text::bigint + 1000000000)::text::xid8;
    update feed_head set system = 7, seen = '2000000000:2000000000:';";

#[tokio::test]
async fn a_restored_dump_is_not_numbered_until_the_feed_is_rebuilt() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 90).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    alice.order("mug", "tok_ok").await;
    app.number_events().await;
    let (before, end) = staff.feed(None, "").await;
    alice.order("mug", "tok_ok").await; // Not numbered when the dump was made.
    sqlx::raw_sql(AS_IF_RESTORED).execute(&app.db).await.unwrap();
    alice.order("mug", "tok_ok").await;

    let mut conn = app.db.acquire().await.unwrap();
    for refused in [sequencer::waiting(&mut conn).await.unwrap_err(), sequencer::pass(&mut conn, 1).await.unwrap_err()]
    {
        assert!(matches!(refused, Error::FeedOfAnotherDatabase), "{refused}");
        assert!(refused.to_string().contains("millrace-api feed rebuild"), "{refused}");
    }
    assert!(sequencer::lag(&mut conn).await.unwrap() > 0.0);
    drop(conn);
    let (same, _) = staff.feed(None, "").await;
    assert_eq!(ids(&same), ids(&before));

    assert_eq!(rebuild::rebuild(&app.db).await.unwrap(), 2);
    alice.order("mug", "tok_ok").await;
    app.number_events().await;
    let (all, _) = staff.feed(None, "").await;
    assert_eq!(types(&all)[3..], ["order.placed"; 3]);
    assert_eq!(ids(&all)[..3], ids(&before));
    let (news, _) = staff.feed(Some(&end), "").await;
    assert_eq!(ids(&news), ids(&all[3..]), "a reader of the lost database goes on");
    assert_eq!(rebuild::rebuild(&app.db).await.unwrap(), 0, "repeating it changes nothing");
    assert_eq!(app.number_events().await, 0);
}

#[tokio::test]
async fn events_from_before_the_feed_are_in_it_once_it_is_rebuilt() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 90).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    sqlx::raw_sql("update order_events set xact = null").execute(&app.db).await.unwrap();
    alice.cancel(&order).await.done(202);
    app.number_events().await;
    let (events, _) = staff.feed(None, "types=order.*").await;
    assert_eq!(types(&events), ["order.cancelling"]);
    let (_, end) = staff.feed(None, "").await;
    assert_eq!(rebuild::rebuild(&app.db).await.unwrap(), 2);
    for after in [None, Some(&*end)] {
        let (events, _) = staff.feed(after, "types=order.*").await;
        assert_eq!(types(&events), ["order.placed", "order.cancelling"], "in the order of the timeline");
    }
}
