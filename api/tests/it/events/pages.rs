//! Pages, cursors, filters, and readers that wait.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::app::TestApp;
use testkit::until::until;

use super::{ids, types};

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended_whatever_the_filter() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 90).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    for _ in 0..5 {
        alice.order("mug", "tok_ok").await;
    }
    app.number_events().await;
    let (all, end) = staff.feed(None, "limit=500").await;
    assert_eq!(types(&all)[..2], ["product.created", "stock.adjusted"]);
    assert_eq!(all.len(), 7);
    let (by_two, _) = staff.feed(None, "limit=2").await;
    assert_eq!(ids(&by_two), ids(&all));

    let page = staff.get("/v1/events?types=product.*&limit=1").await.done(200).body;
    assert_eq!((types(page["data"].as_array().unwrap()), &page["caught_up"]), (vec!["product.created"], &json!(false)));
    let cursor = page["next_cursor"].as_str().unwrap();
    let (rest, other_end) = staff.feed(Some(cursor), "types=order.placed,stock.adjusted").await;
    assert_eq!((ids(&rest), &other_end), (ids(&all[1..]), &end));
    let (none, other_end) = staff.feed(Some(cursor), "types=order.paid").await;
    assert_eq!((none.len(), &other_end), (0, &end), "the cursor moves on although the filter took everything");

    let subject = all[4]["subject"]["id"].as_str().unwrap();
    let (one, other_end) = staff.feed(None, &format!("subject={subject}&types=*")).await;
    assert_eq!((ids(&one), &other_end), (vec![all[4]["id"].as_str().unwrap()], &end));

    let now = staff.get("/v1/events?after=now").await.done(200).body;
    assert_eq!(now, json!({ "data": [], "next_cursor": end, "caught_up": true }));
    let new = alice.order("mug", "tok_ok").await;
    assert_eq!(
        staff.get(&format!("/v1/events?after={end}")).await.done(200).body["data"],
        json!([]),
        "not numbered yet"
    );
    app.number_events().await;
    let (news, _) = staff.feed(Some(&end), "").await;
    assert_eq!(news.len(), 1);
    assert!(new.ends_with(news[0]["subject"]["id"].as_str().unwrap()));
    // Another process, as after a restart.
    let other = TestApp::on(&app.database_url, &[]).await.without_audit("the first one runs it");
    let path = format!("{}/v1/events?after={end}", other.url);
    let answer = app.http.get(path).bearer_auth(staff.token.as_ref().unwrap()).send().await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["data"], json!(news));
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_customers_read_nothing() {
    let app = TestApp::new().await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    for (query, code) in [
        ("after=then", "invalid_cursor"),
        ("after=", "invalid_cursor"),
        ("after=AAAAAAAAAAAAAAAA", "invalid_cursor"),
        ("types=order.lost", "unknown_event_type"),
        ("types=order.placed,", "unknown_event_type"),
        ("types=", "unknown_event_type"),
        ("types=order", "unknown_event_type"),
        ("limit=0", "invalid_limit"),
        ("limit=501", "invalid_limit"),
        ("wait=21", "invalid_wait"),
        ("wait=-1", "invalid_wait"),
        ("wait=1.5", "invalid_value"),
        ("subject=me", "invalid_value"),
        ("colour=red", "unknown_field"),
    ] {
        staff.get(&format!("/v1/events?{query}")).await.refused(422, code);
    }
    app.anyone().get("/v1/events").await.refused(401, "unauthenticated");
    alice.get("/v1/events").await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_reader_waits_for_an_event_that_passes_its_filter() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 90).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    app.number_events().await;
    let begun = Instant::now();
    let empty = staff.get("/v1/events?after=now&wait=1").await.done(200).body;
    assert_eq!((&empty["data"], &empty["caught_up"]), (&json!([]), &json!(true)));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());

    let waiting = staff.get("/v1/events?after=now&wait=20&types=order.placed");
    let writing = async {
        until("the reader waits", async || app.state.feed.waiting() == 1).await;
        let path = format!("/v1/products/{}", app.bare_product("jug", 100).await);
        app.number_events().await;
        staff.patch(&path, json!({ "name": "Jug" })).await.done(200);
        app.number_events().await;
        let order = alice.order("mug", "tok_ok").await;
        app.number_events().await;
        (order, Instant::now())
    };
    let (page, (order, written)) = futures::future::join(waiting, writing).await;
    assert!(written.elapsed() < Duration::from_secs(15), "{:?}", written.elapsed());
    let events = page.done(200).body["data"].as_array().unwrap().clone();
    assert_eq!(types(&events), ["order.placed"]);
    assert!(order.ends_with(events[0]["subject"]["id"].as_str().unwrap()));
    assert_eq!(app.state.feed.waiting(), 0);
}

#[tokio::test]
async fn a_long_wait_is_not_cut_by_the_time_limit_of_requests() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let begun = Instant::now();
    staff.get("/v1/events?after=now&wait=11").await.done(200);
    assert!(begun.elapsed() >= Duration::from_secs(11), "{:?}", begun.elapsed());
}
