//! How Postgres plans the statement that reads orders.

use testkit::app::TestApp;

/// Calls on each connection: after five plans for one call each, Postgres decides whether it keeps one for all.
const CALLS: usize = 12;

/// A plan for each call would take three times as long as reading the order, with history in many parts.
#[tokio::test]
async fn one_plan_is_made_for_all_orders_and_kept() {
    let app = TestApp::new().await;
    app.began_months_ago(24).await;
    app.product("mug", 1250, 50).await;
    let alice = app.customer().await;
    let order = alice.order("mug", "tok_ok").await;
    let db = &app.state.db;
    let connections = usize::try_from(db.options().get_max_connections()).unwrap();
    for _ in 0..CALLS * connections {
        alice.see(&order).await;
    }
    let mut held = Vec::new();
    while let Some(conn) = db.try_acquire() {
        held.push(conn);
    }
    let (mut for_one, mut for_all) = (0, 0);
    for conn in &mut held {
        let plans = "select coalesce(sum(custom_plans), 0)::int, coalesce(sum(generic_plans), 0)::int
                       from pg_prepared_statements where statement like 'select%' and statement like '%from order_items%'";
        let (custom, generic): (i32, i32) =
            sqlx::query_as(plans).persistent(false).fetch_one(&mut **conn).await.unwrap();
        for_one += custom;
        for_all += generic;
    }
    assert!(for_all > for_one, "{for_one} plans for one call, {for_all} calls with one plan for all");
}
