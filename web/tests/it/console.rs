//! The console's screens: failures and replays, the inbox, stock, products, users, search.

use testkit::app::{PASSWORD, TestApp};
use testkit::manual_worker::ManualWorker;

use crate::visitor::Visitor;

#[tokio::test]
async fn every_dead_payment_is_replayed_from_the_failures_with_a_canary() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 100).await;
    for _ in 0..3 {
        app.customer().await.order("mug", "tok_flaky_8").await;
    }
    let worker = ManualWorker::of(&app);
    worker.run().await;
    let staff = app.staff().await;
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    sam.open("/console/inbox").await.ok().says("Charge the customer").says("Retry");
    let failures = sam.open("/console/failures").await.ok();
    failures.says("$75.00");
    let mark = failures.text.split("/console/failures/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    sam.open(&format!("/console/failures/{mark}")).await.ok().says("Replay…");
    let preview = sam.open(&format!("/console/bulk/new?action=retry&error={mark}")).await.ok();
    preview.says("3 dead jobs").says("$75.00");
    let (key, upto, expected) = (preview.hidden("key"), preview.hidden("upto"), preview.hidden("expected"));
    let form = [
        ("key", &*key),
        ("action", "retry"),
        ("error", &*mark),
        ("upto", &*upto),
        ("expected", &*expected),
        ("canary", "on"),
        ("reason", "the bank is back"),
    ];
    let started = sam.send("/console/bulk/new", &form).await;
    let place = started.location.clone().unwrap();
    sam.send("/console/bulk/new", &form).await.leads_to(&place);
    sam.open(&place).await.ok().says("One is tried first").says("the bank is back").says("Stop");
    worker.run().await;
    sam.open(&place).await.ok().says("Done").says("3 of 3 taken");
    sam.open("/console/inbox").await.ok().says("Nobody waits for you");
    sam.open("/console/activity").await.ok().says("Bulk started").says("the bank is back");
}

#[tokio::test]
async fn two_staff_see_who_looks_after_an_order() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 100).await;
    app.customer().await.order("mug", "tok_flaky_8").await;
    ManualWorker::of(&app).run().await;
    let mut sam = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    let mut kim = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    let inbox = sam.open("/console/inbox").await.ok();
    let path = inbox.text.split("action=\"").find(|rest| rest.contains("/take\"")).unwrap().split('"').next().unwrap();
    let order = path.strip_suffix("/take").unwrap();
    sam.send(path, &[("key", &inbox.hidden("key")), ("inbox", "on")]).await.leads_to("/console/inbox?done=taken");
    kim.open("/console/inbox").await.ok().says("looks after it").says("Put back");
    let late = kim.send(path, &[("inbox", "on")]).await;
    assert_eq!(late.status, 409);
    late.says("looks after this order; put it back first");
    kim.open(order).await.ok().says("looks after it");
    kim.send(&format!("{order}/put-back"), &[]).await.leads_to(&format!("{order}?done=put_back"));
    sam.open("/console/inbox").await.ok().does_not_say("looks after it").says("Take");
    sam.open("/console/activity").await.ok().says("Order taken").says("Order put back");
}

#[tokio::test]
async fn a_search_for_one_thing_opens_it() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 100).await;
    let alice = app.customer().await;
    let placed = alice.place(serde_json::json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    let number = placed.body["number"].as_str().unwrap();
    let mut sam = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    sam.open(&format!("/console/search?q={}", number.to_lowercase()))
        .await
        .leads_to(&format!("/console/orders/{number}"));
    sam.open("/console/search?q=mug&format=list").await.ok().says("role=\"option\"");
    sam.open("/console/search?q=nothing-at-all").await.ok().says("Nothing has that in it");
}

#[tokio::test]
async fn stock_is_adjusted_with_a_reason_and_never_below_what_is_reserved() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let alice = app.customer().await;
    alice.place(serde_json::json!([{ "sku": "mug", "quantity": 4 }])).await.done(201);
    let mut sam = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    sam.open("/console/stock").await.ok().says("mug");
    let page = sam.open("/console/stock/mug").await.ok();
    let row = page.hidden("row");
    let form = |key: &'static str, delta: &'static str| {
        [
            ("key", key.to_owned()),
            ("row", row.clone()),
            ("delta", delta.to_owned()),
            ("reason", "damaged".to_owned()),
            ("note", "dropped".to_owned()),
        ]
    };
    for (key, delta, status) in
        [("a", "-2", 303), ("a", "-2", 303), ("b", "-5", 409), ("c", "many", 422), ("d", "0", 422)]
    {
        let fields = form(key, delta);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sent = sam.send("/console/stock/mug/adjust", &fields).await;
        assert_eq!(sent.status.as_u16(), status, "{key} {delta}: {sent:?}");
    }
    let page = sam.open("/console/stock/mug").await.ok();
    page.says("dropped").says("Damaged").says("<b>4</b>").says("Some One");
    // Received 10, then 4 were reserved, then 2 taken away: the newest first, and the last balance is the row.
    let ledger = page.text.split("Ledger</h2>").nth(1).unwrap();
    let balances: Vec<&str> = ledger.split("<b>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    assert_eq!(balances, ["8", "4", "10", "4", "10", "0"]);
}

#[tokio::test]
async fn the_stock_is_counted_after_a_look_at_what_would_change() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    app.product("cup", 900, 5).await;
    let code: String = sqlx::query_scalar("select code from warehouses").fetch_one(&app.db).await.unwrap();
    let mut sam = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    sam.open("/console/stock/count").await.ok().says("Paste what was counted");
    let wrong = format!("mug,{code},many\nbowl,{code},1\n");
    let refused = sam.send("/console/stock/count", &[("rows", &wrong)]).await;
    assert_eq!(refused.status, 422);
    refused.says("Nothing was changed.").says("is not a number").says("there is no product with this SKU");

    let rows = format!("sku,warehouse,quantity\nmug,{code},7\ncup,{code},5\n");
    let preview = sam.send("/console/stock/count", &[("rows", &rows)]).await.ok();
    preview.says("Of 2 rows, 1 differs.").says("−3").says("Apply all 2 rows");
    let level = "select on_hand::bigint from inventory i join products p on p.id = i.product_id where sku = 'mug'";
    assert_eq!(app.count(level).await, 10, "a look changes nothing");
    let apply = [("key", &*preview.hidden("key")), ("apply", "on"), ("rows", &rows)];
    sam.send("/console/stock/count", &apply).await.leads_to("/console/stock?done=counted");
    sam.send("/console/stock/count", &apply).await.leads_to("/console/stock?done=counted");
    assert_eq!(app.count(level).await, 7);
    sam.open("/console/stock/mug").await.ok().says("Counted");
}

#[tokio::test]
async fn warehouses_and_categories_are_made_changed_and_a_clash_is_said() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let mut sam = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    let new = [("code", "WEST"), ("name", "Reno"), ("priority", "7")];
    sam.send("/console/warehouses", &new).await.leads_to("/console/warehouses/WEST?done=changed");
    let taken = sam.send("/console/warehouses", &new).await;
    assert_eq!(taken.status, 409);
    taken.says("New warehouse").says("WEST");
    let version = sam.open("/console/warehouses/WEST").await.ok().hidden("version");
    let change = [("version", &*version), ("code", "WEST"), ("name", "Reno, Nevada"), ("priority", "8")];
    sam.send("/console/warehouses/WEST", &change).await.leads_to("/console/warehouses/WEST?done=changed");
    let late = sam.send("/console/warehouses/WEST", &change).await;
    assert_eq!(late.status, 412);
    sam.open("/console/warehouses").await.ok().says("Reno, Nevada").says("Not used");

    let key = sam.open("/console/categories").await.ok().hidden("key");
    sam.send("/console/categories", &[("key", &key), ("name", "Mugs")])
        .await
        .leads_to("/console/categories?done=changed");
    let page = sam.open("/console/categories").await.ok();
    let id = page.text.split("/console/categories/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/console/categories/{id}");
    let below = sam.send(&path, &[("name", "Mugs"), ("parent_id", &id)]).await;
    assert_eq!(below.status, 422);
    sqlx::query("update products set category_id = $1::uuid").bind(&id).execute(&app.db).await.unwrap();
    let used = sam.send(&format!("{path}/delete"), &[]).await;
    assert_eq!(used.status, 409);
    sqlx::query("update products set category_id = null").execute(&app.db).await.unwrap();
    sam.send(&format!("{path}/delete"), &[]).await.leads_to("/console/categories?done=deleted");
}

#[tokio::test]
async fn staff_link_a_customer_to_an_account_by_its_address() {
    let app = TestApp::new().await;
    let (staff, alice) = (app.staff().await, app.customer().await);
    let body = serde_json::json!({ "email": "old@example.com", "name": "Alice Archer" });
    let customer = staff.post("/v1/customers", body).await.done(201);
    let path = format!("/console/customers/{}", customer.id());
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    sam.open("/console/customers?q=arch").await.ok().says("Alice Archer");
    sam.open(&path).await.ok().says("They have none");
    let unknown = sam.send(&format!("{path}/account"), &[("account", "nobody@example.com")]).await;
    assert_eq!(unknown.status, 422);
    unknown.says("There is no account with this address.");
    let linked = sam.send(&format!("{path}/account"), &[("account", &alice.email)]).await;
    linked.leads_to(&format!("{path}?done=changed"));
    sam.open(&path).await.ok().says("They sign in");
}

#[tokio::test]
async fn a_product_is_made_changed_and_a_clash_is_shown_side_by_side() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    let key = sam.open("/console/products/new").await.ok().hidden("key");
    let product = |key: &str, name: &str, price: &str, version: &str| {
        [
            ("key", key),
            ("name", name),
            ("sku", "cup"),
            ("price", price),
            ("currency", "USD"),
            ("description", ""),
            ("version", version),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let send = async |sam: &mut Visitor<'_>, path: &str, fields: [(String, String); 7]| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        sam.send(path, &fields).await
    };
    send(&mut sam, "/console/products/new", product(&key, "Cup", "12.50", ""))
        .await
        .leads_to("/console/products/cup?done=changed");
    let taken = send(&mut sam, "/console/products/new", product("x", "Cup", "12.50", "")).await;
    assert_eq!(taken.status, 409);
    taken.says("A product with the SKU cup already exists.");
    let wrong = send(&mut sam, "/console/products/new", product("y", "Cup", "12,50", "")).await;
    wrong.says("A price looks like 12.50.");
    let version = sam.open("/console/products/cup").await.ok().hidden("version");
    send(&mut sam, "/console/products/cup", product("z", "A cup", "13", &version))
        .await
        .leads_to("/console/products/cup?done=changed");
    let clash = send(&mut sam, "/console/products/cup", product("w", "Another cup", "14", &version)).await;
    assert_eq!(clash.status, 412);
    clash.says("As it is now").says("A cup").says("Another cup");
    let mut shopper = Visitor::new(&app);
    shopper.open("/p/cup").await.ok().says("A cup").says("$13.00").says("Sold out");
}

#[tokio::test]
async fn only_administrators_see_users_and_what_gives_power_asks_for_the_password_again() {
    let app = TestApp::new().await;
    let (staff, admin) = (app.staff().await, app.admin().await);
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    let refused = sam.open("/console/users").await;
    assert_eq!(refused.status, 403);
    refused.says("This needs the role admin.");
    let mut ada = Visitor::signed_in_to_console(&app, &admin.email).await;
    let page = ada.open("/console/users").await.ok();
    let form = [("key", &*page.hidden("key")), ("name", "New One"), ("email", "new@example.com"), ("role", "staff")];
    let invited = ada.send("/console/users/invite", &form).await.ok();
    invited.says("/invite/");
    sqlx::query("update sessions set password_at = now() - interval '1 hour'").execute(&app.db).await.unwrap();
    let path = format!("/console/users/{}", staff.id);
    ada.open(&path).await.ok();
    let asked = ada.send(&path, &[("role", "customer")]).await;
    asked.leads_to(&format!("/console/confirm?next=%2Fconsole%2Fusers%2F{}", staff.id));
    ada.send("/console/confirm", &[("password", PASSWORD), ("next", &path)])
        .await
        .leads_to(&format!("{path}?done=confirmed"));
    ada.send(&path, &[("role", "customer")]).await.leads_to(&format!("{path}?done=changed"));
    sam.open("/console").await.leads_to("/console/signin?next=%2Fconsole");
}

#[tokio::test]
async fn a_paused_queue_is_said_on_every_page() {
    let app = TestApp::new().await;
    let mut sam = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    sam.open("/console/queues").await.ok().says("Running");
    let without = sam.send("/console/queues/low/pause", &[("key", "x"), ("reason", " ")]).await;
    assert_eq!(without.status, 422);
    without.says("Say why the queue is paused.");
    let form = [("key", "a"), ("reason", "the carrier is down"), ("minutes", "15")];
    sam.send("/console/queues/low/pause", &form).await.leads_to("/console/queues?done=paused");
    sam.open("/console/orders").await.ok().says("is paused").says("the carrier is down").says("Some One");
    sam.send("/console/queues/low/resume", &[("key", "b")]).await.leads_to("/console/queues?done=resumed");
    sam.open("/console/orders").await.ok().does_not_say("is paused");
    assert_eq!(sam.send("/console/queues/none/pause", &[("key", "c"), ("reason", "x")]).await.status, 404);
}

#[tokio::test]
async fn every_screen_of_the_console_opens_on_an_empty_shop() {
    let app = TestApp::new().await;
    let mut ada = Visitor::signed_in_to_console(&app, &app.admin().await.email).await;
    for path in [
        "/console",
        "/console/inbox",
        "/console/orders",
        "/console/customers",
        "/console/products",
        "/console/products/new",
        "/console/stock",
        "/console/stock/count",
        "/console/warehouses",
        "/console/categories",
        "/console/failures",
        "/console/jobs",
        "/console/queues",
        "/console/workers",
        "/console/clock",
        "/console/audit",
        "/console/activity",
        "/console/users",
        "/console/service-accounts",
        "/console/me",
        "/console/search?q=x",
    ] {
        ada.open(path).await.ok();
    }
    for path in ["/console/orders/M-0000000", "/console/jobs/nonsense", "/console/stock/none", "/console/products/none"]
    {
        assert_eq!(ada.open(path).await.status, 404, "{path}");
    }
}
