//! The shop: from the first page to a cancelled order.

use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;

use crate::tab::{Tab, fields, location};

const ADDRESS: [(&str, &str); 5] =
    [("name", "Alice"), ("line1", "1 Mill Lane"), ("postal_code", "BA1"), ("city", "Bath"), ("country", "GB")];

/// Puts this into the cart and opens the checkout; returns what its form would send.
async fn to_checkout(tab: &Tab<'_>, sku: &str, quantity: &str, card: &str) -> Vec<(String, String)> {
    let added = tab.send("/cart", &[("sku", sku), ("quantity", quantity), ("key", "one")]).await.done(303);
    assert_eq!(location(&added), "/cart");
    let page = tab.open("/checkout").await.done(200).text;
    let hidden = fields(&page, "/checkout");
    let typed = ADDRESS.into_iter().chain([("card", card)]);
    hidden.into_iter().chain(typed).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn pairs(form: &[(String, String)]) -> Vec<(&str, &str)> {
    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn somebody_finds_a_product_and_sees_what_is_left_of_it() {
    let app = TestApp::new().await;
    app.product("MUG-1", 1200, 3).await;
    app.product("POT-1", 4200, 0).await;
    let tab = Tab::new(&app);
    let home = tab.open("/").await.done(200).text;
    assert!(home.contains("A MUG-1") && home.contains("$12.00"), "{home}");
    assert!(tab.open("/p/MUG-1").await.done(200).text.contains("Only 3 left"));
    assert!(tab.open("/p/POT-1").await.done(200).text.contains("Sold out"));
    assert!(tab.open("/search?q=mug").await.done(200).text.contains("/p/MUG-1"));
    let nothing = tab.open("/search?q=%3Cscript%3Ealert(1)%3C/script%3E").await.done(200).text;
    assert!(nothing.contains("&lt;script&gt;alert(1)") && !nothing.contains("<script>alert"), "{nothing}");
    assert_eq!(location(&tab.open("/search?q=").await.done(303)), "/");
}

#[tokio::test]
async fn a_form_that_is_sent_twice_is_one_order() {
    let app = TestApp::new().await;
    let mug = app.product("MUG-1", 1200, 5).await;
    let alice = app.customer().await;
    let tab = Tab::new(&app);
    tab.send("/cart", &[("sku", "MUG-1"), ("quantity", "2"), ("key", "k")]).await.done(303);
    assert_eq!(location(&tab.open("/checkout").await.done(303)), "/signin?next=%2Fcheckout");
    let tab = Tab::shopping(&alice).await;
    let form = to_checkout(&tab, "MUG-1", "2", "tok_ok").await;
    let (form, first) = (pairs(&form), tab.send("/checkout", &pairs(&form)).await.done(303));
    let again = tab.send("/checkout", &form).await.done(303);
    assert_eq!(location(&first), location(&again));
    assert_eq!(app.count("select count(*) from orders").await, 1);
    assert_eq!(app.available(mug).await, 3);
    assert_eq!(tab.cookie("millrace-cart"), None);

    let other: Vec<(&str, &str)> =
        form.iter().map(|(name, value)| (*name, if *name == "city" { "York" } else { value })).collect();
    let reused = tab.send("/checkout", &other).await.done(422);
    assert!(reused.text.contains("You have sent this form before"), "{}", reused.text);
    assert_eq!(app.count("select count(*) from orders").await, 1);

    let page = tab.open(location(&first)).await.done(200).text;
    assert!(page.contains("Thank you. Your order is placed.") && page.contains("$24.00"), "{page}");
    assert!(!tab.open(location(&first)).await.text.contains("Thank you."), "it is said once");
    assert!(tab.open("/orders").await.done(200).text.contains(location(&first)));
}

#[tokio::test]
async fn a_refusal_stands_at_its_line_and_nothing_is_ordered() {
    let app = TestApp::new().await;
    let mug = app.product("MUG-1", 1200, 3).await;
    let alice = app.customer().await;
    let tab = Tab::shopping(&alice).await;
    let form = to_checkout(&tab, "MUG-1", "3", "tok_ok").await;
    app.customer().await.place(serde_json::json!([{ "sku": "MUG-1", "quantity": 2 }])).await.done(201);
    let refused = tab.send("/checkout", &pairs(&form)).await.done(409);
    assert!(refused.text.contains("3 wanted, 1 left."), "{}", refused.text);
    assert!(refused.text.contains("1 Mill Lane"), "nothing typed is lost");

    let bare: Vec<(&str, &str)> = pairs(&form).into_iter().filter(|(name, _)| *name != "line1").collect();
    let refused = tab.send("/checkout", &bare).await.done(422);
    assert!(refused.text.contains("id=\"line1-error\""), "{}", refused.text);
    assert_eq!(app.count("select count(*) from orders").await, 1);
    assert_eq!(app.available(mug).await, 1);
}

#[tokio::test]
async fn a_price_that_changed_is_pointed_out_before_the_order() {
    let app = TestApp::new().await;
    let mug = app.product("MUG-1", 1200, 5).await;
    let alice = app.customer().await;
    let tab = Tab::shopping(&alice).await;
    let form = to_checkout(&tab, "MUG-1", "1", "tok_ok").await;
    let price = serde_json::json!({ "price": { "amount": 1500, "currency": "USD" } });
    app.staff().await.patch(&format!("/v1/products/{mug}"), price).await.done(200);
    let refused = tab.send("/checkout", &pairs(&form)).await.done(422);
    assert!(refused.text.contains("The prices have changed") && refused.text.contains("$15.00"), "{}", refused.text);
    assert_eq!(app.count("select count(*) from orders").await, 0);
}

#[tokio::test]
async fn a_tampered_cart_loses_its_bad_lines_and_no_more() {
    let app = TestApp::new().await;
    app.product("MUG-1", 1200, 5).await;
    let tab = Tab::new(&app);
    tab.set_cookie("millrace-cart", "MUG-1=2&%3Cscript%3E=1&POT=-4&x");
    let cart = tab.open("/cart").await.done(200).text;
    assert!(cart.contains("A MUG-1") && cart.contains("$24.00"), "{cart}");
    assert!(!cart.contains("<script>") && cart.contains("We do not sell this any more"), "{cart}");
    tab.send("/cart/change", &[("sku", "<script>"), ("remove", "yes")]).await.done(303);
    tab.send("/cart/change", &[("sku", "MUG-1"), ("quantity", "3")]).await.done(303);
    let cart = tab.open("/cart").await.done(200).text;
    assert!(cart.contains("$36.00") && !cart.contains("We do not sell this"), "{cart}");
}

#[tokio::test]
async fn an_order_is_tracked_cancelled_and_nobody_elses_business() {
    let app = TestApp::new().await;
    let mug = app.product("MUG-1", 1200, 5).await;
    let alice = app.customer().await;
    let tab = Tab::shopping(&alice).await;
    let form = to_checkout(&tab, "MUG-1", "2", "tok_ok").await;
    let path = location(&tab.send("/checkout", &pairs(&form)).await.done(303)).to_owned();
    assert!(tab.open(&path).await.done(200).text.contains("We are charging your card."));

    for other in [app.customer().await, app.staff().await] {
        Tab::shopping(&other).await.open(&path).await.done(404);
    }
    let asked = tab.open(&format!("{path}/cancel")).await.done(200).text;
    let mut cancel = fields(&asked, &format!("{path}/cancel"));
    cancel.push(("reason", "<b>ordered twice</b>"));
    for _ in 0..2 {
        assert_eq!(location(&tab.send(&format!("{path}/cancel"), &cancel).await.done(303)), path);
    }
    ManualWorker::of(&app).run().await;
    let page = tab.open(&path).await.done(200).text;
    assert!(page.contains("It is cancelled.") && !page.contains("Cancel order…"), "{page}");
    assert_eq!(app.available(mug).await, 5);
}

#[tokio::test]
async fn a_stored_script_stays_text_on_every_page() {
    let app = TestApp::new().await;
    let hostile = "<script>alert(1)</script>";
    let product = app.product("MUG-1", 1200, 50).await;
    let staff = app.staff().await;
    let change = serde_json::json!({ "name": hostile, "description": hostile });
    staff.patch(&format!("/v1/products/{product}"), change).await.done(200);
    let tab = Tab::shopping(&staff).await;
    let mut form = to_checkout(&tab, "MUG-1", "2", "tok_ok").await;
    form.retain(|(name, _)| name != "name");
    form.push(("name".to_owned(), hostile.to_owned()));
    let path = location(&tab.send("/checkout", &pairs(&form)).await.done(303)).to_owned();
    tab.send("/cart", &[("sku", "MUG-1"), ("quantity", "1"), ("key", "two")]).await.done(303);
    let console = Tab::working(&staff).await;
    for (tab, path) in [
        (&tab, "/".to_owned()),
        (&tab, "/p/MUG-1".to_owned()),
        (&tab, "/cart".to_owned()),
        (&tab, "/checkout".to_owned()),
        (&tab, "/orders".to_owned()),
        (&tab, path.clone()),
        (&console, "/console/orders".to_owned()),
        (&console, format!("/console{path}")),
    ] {
        let page = tab.open(&path).await.done(200).text;
        assert!(!page.contains(hostile), "{path}: {page}");
    }
    assert!(tab.open(&path).await.text.contains("&lt;script&gt;alert(1)"));
}
