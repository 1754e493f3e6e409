//! Buying without scripts: the cart, the checkout, the order's own page.

use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;

use crate::visitor::Visitor;

const ADDRESS: [(&str, &str); 5] =
    [("name", "Alice"), ("line1", "1 Mill Lane"), ("postal_code", "BA1 1AA"), ("city", "Bath"), ("country", "GB")];

fn order<'a>(key: &'a str, token: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = ADDRESS.to_vec();
    fields.extend([("key", key), ("payment_token", token)]);
    fields
}

async fn with_a_mug<'a>(app: &'a TestApp, email: &str) -> Visitor<'a> {
    let mut visitor = Visitor::signed_in_to_shop(app, email).await;
    visitor.send("/cart/add", &[("sku", "mug"), ("quantity", "2")]).await.leads_to("/cart?done=added");
    visitor
}

#[tokio::test]
async fn a_double_click_back_and_reload_are_one_order() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let alice = app.customer().await;
    let mut visitor = with_a_mug(&app, &alice.email).await;
    let page = visitor.open("/checkout").await.ok();
    page.says("$25.00");
    let key = page.hidden("key");
    let before = visitor.cookies.clone();
    let first = visitor.send("/checkout", &order(&key, "tok_ok")).await;
    let place = first.location.clone().expect("it leads to the order");
    assert!(place.starts_with("/orders/M-") && place.ends_with("?done=placed"), "{place}");
    assert!(!visitor.cookies.contains_key("millrace-cart"), "the cart is empty");
    visitor.cookies = before;
    visitor.send("/checkout", &order(&key, "tok_ok")).await.leads_to(&place);
    assert_eq!(app.count("select count(*) from orders").await, 1);
    let shown = visitor.open(place.split('?').next().unwrap()).await.ok();
    shown.says("We are charging your card").says("Cancel the order");
}

#[tokio::test]
async fn an_order_is_followed_to_the_end_and_cancelled_only_while_it_can_be() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let alice = app.customer().await;
    let mut visitor = with_a_mug(&app, &alice.email).await;
    let key = visitor.open("/checkout").await.ok().hidden("key");
    let place = visitor.send("/checkout", &order(&key, "tok_ok")).await.location.unwrap();
    let place = place.split('?').next().unwrap();
    let worker = ManualWorker::of(&app);
    worker.run().await;
    let shown = visitor.open(place).await.ok();
    shown.says("It has arrived.").does_not_say("Cancel the order");
    let refused = visitor.send(&format!("{place}/cancel"), &[]).await;
    assert_eq!(refused.status, 409);
    refused.says("The order is being shipped and can no longer be cancelled.");
}

#[tokio::test]
async fn what_is_short_is_named_and_the_form_keeps_what_was_typed() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 3).await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    let mut visitor = with_a_mug(&app, &alice.email).await;
    let key = visitor.open("/checkout").await.ok().hidden("key");
    bob.place(serde_json::json!([{ "sku": "mug", "quantity": 2 }])).await.done(201);
    let refused = visitor.send("/checkout", &order(&key, "tok_ok")).await;
    assert_eq!(refused.status, 409);
    refused.says("you want 2, and 1 are left").says("1 Mill Lane");
    let mut fields = order(&key, "tok_ok");
    fields.retain(|(name, _)| *name != "city");
    let refused = visitor.send("/checkout", &fields).await;
    assert_eq!(refused.status, 422);
    refused.says("The city is missing.");
}

#[tokio::test]
async fn a_tampered_cart_loses_its_bad_lines_and_no_more() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let mut visitor = Visitor::new(&app);
    let cart = "mug:2:1|nonsense|%00:1|<script>:1|gone:3|mug:-1";
    visitor.cookies.insert("millrace-cart".to_owned(), cart.to_owned());
    let shown = visitor.open("/cart").await.ok();
    shown.says("$25.00").says("The price has changed. It was $0.01.").does_not_say("<script>:");
}

#[tokio::test]
async fn another_buyers_order_does_not_exist() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    let placed = alice.place(serde_json::json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    let number = placed.body["number"].as_str().unwrap();
    let mut bob = Visitor::signed_in_to_shop(&app, &bob.email).await;
    for path in [format!("/orders/{number}"), format!("/orders/{number}/live"), "/orders/nonsense".to_owned()] {
        assert_eq!(bob.open(&path).await.status, 404, "{path}");
    }
    let mut staff = Visitor::signed_in_to_shop(&app, &app.staff().await.email).await;
    assert_eq!(staff.open(&format!("/orders/{number}")).await.status, 404, "in the shop, staff are buyers");
}

#[tokio::test]
async fn names_with_markup_are_text_and_searches_may_be_anything() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let name = "<script>alert(1)</script> & \"mug\"";
    let product = serde_json::json!({ "sku": "x/y z", "name": name, "price": { "amount": 1, "currency": "USD" } });
    staff.post("/v1/products", product).await.done(201);
    let mut visitor = Visitor::new(&app);
    visitor.open("/p/x%2Fy%20z").await.ok().says("&lt;script&gt;alert(1)").does_not_say("<script>alert");
    for q in ["%25", "'", "m", "%3Cb%3E", "x%2F"] {
        visitor.open(&format!("/search?q={q}")).await.ok().does_not_say("<b>");
    }
}
