//! The pages in a real browser: live, in light and dark, wide and narrow, and without scripts.

use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::app::PASSWORD;
use testkit::database::redis_url;
use testkit::manual_worker::ManualWorker;
use testkit::receiver::{Reaction, Receiver};
use testkit::until::until;
use testkit::workers::{TestSystem, WEBHOOKS, WorkerProcess, webhook_options};

use web::rule::Sites;

use crate::driver::Browser;

/// A shop whose workers try each job eight times, quickly.
async fn shop() -> (TestSystem, WorkerProcess) {
    let system = TestSystem::with_options(Some(redis_url()), 8, &webhook_options()).await;
    let worker = WorkerProcess::start(&system, &[&WEBHOOKS[..], &[("JOB_MAX_ATTEMPTS", "8")]].concat());
    (system, worker)
}

async fn buy(browser: &Browser, card: &str) -> String {
    browser.go("/p/mug").await;
    browser.click(".buy button").await;
    browser.sees("Check out").await;
    check_out(browser, card).await
}

/// Buys what is in the cart. Returns the order's number.
async fn check_out(browser: &Browser, card: &str) -> String {
    browser.go("/checkout").await;
    for (field, text) in [("name", "Alice"), ("line1", "1 Mill Lane"), ("postal_code", "BA1 1AA"), ("city", "Bath")] {
        browser.fill(&format!("#field-{field}"), text).await;
    }
    browser.click(&format!("input[value={card}]")).await;
    browser.click(".summary button").await;
    browser.sees("Your order is placed").await;
    browser.path().await.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_buys_and_staff_repair_the_payment() {
    let (system, _worker) = shop().await;
    let staff = system.app.staff().await;
    let stranger = Browser::open(&system.app.url).await;
    stranger.go("/register?next=/p/mug").await;
    stranger.fill("#field-name", "Alice").await;
    stranger.fill("#field-email", "alice@example.com").await;
    stranger.fill("#field-password", "quite unrelated words").await;
    stranger.click("main form button").await;
    let number = buy(&stranger, "tok_flaky_8").await;
    stranger.sees("a person looks at it now").await;

    let sam = Browser::open(&system.app.url).await;
    sam.sign_in("/console/signin", &staff.email, PASSWORD).await;
    sam.go("/console/inbox").await;
    sam.sees(&number).await;
    sam.go("/console/failures").await;
    sam.click("tr[data-row] a").await;
    sam.click("a.button.primary").await;
    sam.sees("1 dead job").await;
    sam.fill("#field-reason", "the bank is back").await;
    sam.click("main form button").await;
    sam.sees("1 of 1 taken").await;
    sam.sees("Done").await;
    stranger.sees("It has arrived").await;
    sam.go("/console/activity").await;
    sam.sees("Bulk started").await;
    sam.sees("the bank is back").await;
    assert_eq!(stranger.complaints().await, [""; 0]);
    assert_eq!(sam.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_list_follows_what_others_do() {
    let system = TestSystem::start().await;
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    system.order(&alice, "tok_ok").await;
    let browser = Browser::open(&system.app.url).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go("/console/orders").await;
    let row = "return document.querySelector('tr[data-row]').textContent";
    assert!(browser.js(row).await.as_str().unwrap().contains("Pending"));
    // A stream that begins makes the page read itself once. Only what comes later needs a change that is noticed.
    let reads = "return performance.getEntriesByType('resource').filter((it) => it.initiatorType === 'fetch').length";
    until("the page has read itself", async || browser.js(reads).await.as_i64() > Some(0)).await;
    // Without a worker process, so that only the order's row changes.
    ManualWorker::of(&system.app).run().await;
    let arrived = async || browser.js(row).await.as_str().unwrap().contains("Delivered");
    until("the list says so without a reload", arrived).await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn buying_and_repairing_work_without_scripts() {
    let (system, _worker) = shop().await;
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    let browser = Browser::open(&system.app.url).await;
    browser.without_scripts().await;
    browser.sign_in("/signin", &alice.email, PASSWORD).await;
    let number = buy(&browser, "tok_flaky_8").await;
    let order = alice.get("/v1/orders").await.done(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    let dead = "select count(*) from jobs where state = 'dead'";
    system.until_count("the payment is dead", dead, 1).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go(&format!("/console/orders/{number}")).await;
    browser.click(".next form button").await;
    browser.sees("It runs again").await;
    system.reaches(&staff, &format!("/v1/orders/{order}"), "delivered").await;
    browser.go(&format!("/orders/{number}")).await;
    browser.sees("It has arrived").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_markup_never_runs() {
    let (system, _worker) = shop().await;
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    let evil = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>";
    let product =
        json!({ "sku": "evil", "name": evil, "description": evil, "price": { "amount": 1, "currency": "USD" } });
    staff.post("/v1/products", product).await.done(201);
    let body = json!({
        "items": [{ "sku": "mug", "quantity": 1 }], "payment_token": "tok_ok",
        "shipping_address": { "name": evil, "line1": evil },
    });
    let placed = alice.post("/v1/orders", body).await.done(201);
    let number = placed.body["number"].as_str().unwrap();
    staff.post(&format!("/v1/orders/{}/notes", placed.id()), json!({ "text": evil })).await.done(201);
    let browser = Browser::open(&system.app.url).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    for path in [&*format!("/console/orders/{number}"), "/console/products/evil", "/p/evil", "/search?q=%3Cscript%3E"] {
        browser.go(path).await;
        browser.sees("script").await;
        assert!(browser.js("return window.ran").await.is_null(), "{path}");
        assert_eq!(browser.complaints().await, [""; 0], "{path}");
    }
}

pub fn shots() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.dev/shots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Every page that can be opened with GET, with its parameters filled in. A new page must be added here.
async fn screens(system: &TestSystem, number: &str) -> Vec<(String, String)> {
    let app = &system.app;
    let text = async |sql: &'static str| -> String { sqlx::query_scalar(sql).fetch_one(&app.db).await.unwrap() };
    let job = text("select id::text from jobs where state = 'dead' limit 1").await;
    let mark = text("select error_fingerprint from jobs where state = 'dead' limit 1").await;
    let customer = text("select customer_id::text from orders limit 1").await;
    let user = text("select id::text from users limit 1").await;
    let bulk = text("select id::text from bulk_actions limit 1").await;
    let category = text("select id::text from categories limit 1").await;
    let warehouse = text("select code from warehouses limit 1").await;
    let service = text("select id::text from service_accounts limit 1").await;
    let webhook = text("select id::text from webhook_endpoints limit 1").await;
    let event = text("select 'evt_' || subject || '_' || sequence from webhook_deliveries limit 1").await;
    let pages = web::routes::shop()
        .merge(web::routes::console())
        .merge(web::routes::entrance(Sites { shop: true, console: true }))
        .into_vec();
    let open = pages.into_iter().filter(|page| {
        page.method == axum::http::Method::GET && !["/live", ".csv"].iter().any(|end| page.path.ends_with(end))
    });
    open.map(|page| {
        let path = match page.path {
            "/c/{category}" => "/c/mugs".to_owned(),
            "/search" | "/console/search" => format!("{}?q=mu", page.path),
            "/invite/{token}" => "/invite/x".to_owned(),
            "/console/bulk/new" => format!("/console/bulk/new?action=retry&error={mark}"),
            path => path
                .replace("{number}", number)
                .replace("{sku}", "mug")
                .replace("{fingerprint}", &mark)
                .replace("jobs/{id}", &format!("jobs/{job}"))
                .replace("customers/{id}", &format!("customers/{customer}"))
                .replace("users/{id}", &format!("users/{user}"))
                .replace("service-accounts/{id}", &format!("service-accounts/{service}"))
                .replace("categories/{id}", &format!("categories/{category}"))
                .replace("{code}", &warehouse)
                .replace("webhooks/{id}", &format!("webhooks/{webhook}"))
                .replace("{event_id}", &event)
                .replace("bulk/{id}", &format!("bulk/{bulk}")),
        };
        let name = page.path.trim_matches('/').replace(['/', '{', '}'], "-").replace("--", "-");
        (if name.is_empty() { "home".to_owned() } else { name }, path)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_recent_places_and_a_wrong_clock() {
    let system = TestSystem::start().await;
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    let first = system.order(&alice, "tok_ok").await;
    system.order(&alice, "tok_ok").await;
    let number = staff.see(&first).await["number"].as_str().unwrap().to_owned();
    let browser = Browser::open(&system.app.url).await;
    browser.clock_is_ahead(3 * 3600).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go("/console/orders").await;
    let ago = "return document.querySelector('tr[data-row] time[data-ago]').textContent";
    let before = browser.js(ago).await;
    until("the age of the order is counted on", async || browser.js(ago).await != before).await;
    let now = browser.js(ago).await;
    assert!(now.as_str().unwrap().ends_with(" ago") && !now.as_str().unwrap().contains(" h "), "{now}");

    browser.press("j").await;
    browser.press("j").await;
    let chosen =
        "return [...document.querySelectorAll('tr[data-row]')].findIndex((row) => row.ariaSelected === 'true')";
    assert_eq!(browser.js(chosen).await, json!(1));
    browser.js("document.activeElement.click()").await;
    browser.sees(&format!("Order {number}")).await;
    browser.go("/console/queues").await;
    browser.press("\u{e009}k").await;
    browser.sees("looked at before").await;
    browser.js("document.querySelector('.palette input').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }))").await;
    browser.sees("Payment comes next").await;
    assert_eq!(browser.path().await, format!("/console/orders/{number}"));

    browser.go("/console/me").await;
    browser.click("#keys-switch input").await;
    browser.go("/console/orders").await;
    browser.press("j").await;
    assert_eq!(browser.js(chosen).await, json!(-1), "single keys are switched off");
    assert_eq!(browser.complaints().await, [""; 0]);
}

/// A repair by somebody who uses no mouse: every step is a key, and what has the focus has a name and a role.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_repaired_by_keyboard_alone() {
    let (system, _worker) = shop().await;
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    alice.order("mug", "tok_flaky_8").await;
    system.until_count("the payment is dead", "select count(*) from jobs where state = 'dead'", 1).await;
    let browser = Browser::open(&system.app.url).await;
    browser.go("/console/signin").await;
    let focused = async || browser.js(FOCUSED).await.as_str().unwrap_or_default().to_owned();
    let tab_to = async |wanted: &str| {
        let mut passed = Vec::new();
        while passed.len() < 60 {
            browser.types("\u{e004}").await;
            let now = focused().await;
            if now == wanted {
                return;
            }
            passed.push(now);
        }
        panic!("{wanted} is not reached: {passed:#?}");
    };
    tab_to("input E-mail").await;
    browser.types(&staff.email).await;
    tab_to("input Password").await;
    browser.types(&format!("{PASSWORD}\u{e007}")).await;
    browser.sees("Overview").await;
    browser.types("\u{e004}\u{e007}").await;
    assert!(focused().await.starts_with("main"), "the first link of a page leads to its content");
    browser.types("gi").await;
    browser.sees("Waits for").await;
    browser.types("j").await;
    browser.types("\u{e007}").await;
    browser.sees("Payment waits for you").await;
    let spoken = browser.spoken().await;
    for said in ["main ", "region What comes next", "button Retry: Charge the customer", "heading Timeline"] {
        assert!(spoken.iter().any(|it| it.trim() == said.trim()), "{said}: {spoken:#?}");
    }
    std::fs::write(shots().join("spoken.txt"), spoken.join("\n")).unwrap();
    tab_to("button Retry: Charge the customer").await;
    browser.types("\u{e007}").await;
    browser.sees("It runs again.").await;
    assert!(browser.spoken().await.iter().any(|it| it.starts_with("status")), "what was done is announced");
    browser.sees("Delivered").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

/// The role and the name of what has the focus.
const FOCUSED: &str = "const it = document.activeElement, tag = it.tagName.toLowerCase();
    const label = it.labels?.[0]?.textContent ?? it.getAttribute('aria-label') ?? it.textContent;
    return `${tag} ${label.trim().replace(/\\s+/g, ' ')}`.slice(0, 60)";

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_the_other_screens_are_one_press_away() {
    let system = TestSystem::start().await;
    let staff = system.app.staff().await;
    let browser = Browser::open(&system.app.url).await;
    browser.size(390, 844).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go("/console").await;
    browser.click(".bar summary").await;
    browser.click(".bar .more a[href='/console/audit']").await;
    browser.sees("Promise").await;
    assert_eq!(browser.path().await, "/console/audit");
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_is_a_sheet_for_each_warehouse_and_printing_it_is_on_the_timeline() {
    let system = TestSystem::start().await;
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    let order = system.order(&alice, "tok_ok").await;
    let number = staff.see(&order).await["number"].as_str().unwrap().to_owned();
    let browser = Browser::open(&system.app.url).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go(&format!("/console/orders/{number}/slip")).await;
    assert_eq!(browser.sheets().await, 1);
    browser.click("main .head form button").await;
    browser.sees("The timeline says that the slips were printed").await;
    browser.go(&format!("/console/orders/{number}")).await;
    browser.sees("Packing slip printed").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_tells_its_numbers_under_the_pointer() {
    let system = TestSystem::start().await;
    let staff = system.app.staff().await;
    let browser = Browser::open(&system.app.url).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go("/console/stock/mug").await;
    let hover = "const svg = document.querySelector('.chart svg'), box = svg.getBoundingClientRect();
        svg.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: box.right - 1, clientY: box.top + 5 }))";
    browser.js(hover).await;
    let under = browser.js("return document.querySelector('.chart .under').textContent").await;
    let last = "return [...document.querySelector('.chart tbody tr:last-child').children].map((it) => it.textContent)";
    let last = browser.js(last).await;
    for cell in last.as_array().unwrap() {
        assert!(under.as_str().unwrap().contains(cell.as_str().unwrap()), "{under} has no {cell}");
    }
    assert_eq!(browser.complaints().await, [""; 0]);
}

/// axe-core, out of the wheel that deploy/requirements-axe.txt names.
fn axe() -> String {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.dev/tools/lib");
    let pythons = std::fs::read_dir(&tools).expect("./dev test installs the tools of deploy/");
    let files = pythons.map(|python| python.unwrap().path().join("site-packages/axe_playwright_python/axe.min.js"));
    let file = files.filter(|file| file.exists()).last().expect("./dev test installs axe");
    std::fs::read_to_string(file).unwrap()
}

/// Labels and scripts find elements by their ids.
const IDS_TWICE: &str = "const ids = [...document.querySelectorAll('[id]')].map((it) => it.id);
    return [...new Set(ids.filter((id, at) => ids.indexOf(id) !== at))]";

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_fits_in_light_and_dark_wide_and_narrow() {
    let (system, _worker) = shop().await;
    let (buyer, admin) = (system.app.customer().await, system.app.admin().await);
    admin.post("/v1/categories", json!({ "name": "Mugs" })).await.done(201);
    let service = admin.post("/v1/service-accounts", json!({ "name": "Robot" })).await.done(201);
    let key = json!({ "name": "production", "scopes": ["orders:write", "inventory:read", "customers:read"] });
    admin.post(&format!("/v1/service-accounts/{}/keys", service.id()), key).await.done(201);
    let order = buyer.order("mug", "tok_unavailable").await;
    let dead = "select count(*) from jobs where state = 'dead'";
    system.until_count("the payment is dead", dead, 1).await;
    let bulk = json!({ "action": "retry", "filter": { "error": "x" }, "reason": "x" });
    admin.post("/v1/ops/bulk", bulk).await.refused(422, "nothing_selected");
    let bulk = json!({ "action": "retry", "filter": { "kind": "process_payment" }, "canary": true });
    admin.post("/v1/ops/bulk", bulk).await.done(202);
    let halted = "select count(*) from bulk_actions where state = 'halted'";
    system.until_count("the canary failed", halted, 1).await;
    let number = admin.see(&order).await["number"].as_str().unwrap().to_owned();
    let receiver = Receiver::that(|_, number| Reaction::Status(if number == 0 { 503 } else { 200 })).await;
    let webhook = json!({ "url": receiver.url, "types": ["order.*"], "description": "The ERP" });
    let webhook = admin.post("/v1/webhooks", webhook).await.done(201);
    admin.post(&format!("{}/test", webhook.header("location")), json!({})).await.done(202);
    receiver.has(2).await;

    let browser = Browser::open(&system.app.url).await;
    browser.sign_in("/signin", &buyer.email, PASSWORD).await;
    browser.sign_in("/console/signin", &admin.email, PASSWORD).await;
    browser.go("/p/mug").await;
    browser.click(".buy button").await;
    browser.sees("Check out").await;
    let screens = screens(&system, &number).await;
    let axe = axe();
    assert!(screens.len() > 30, "{screens:?}");
    let mut wrong = Vec::new();
    for (width, height) in [(1440, 900), (390, 844)] {
        browser.size(width, height).await;
        for theme in ["light", "dark"] {
            browser.scheme(theme).await;
            for (name, path) in &screens {
                browser.go(path).await;
                let (too_wide, complaints) = (browser.sticks_out().await, browser.complaints().await);
                let twice = browser.js(IDS_TWICE).await;
                let hard_to_use = if width > 1000 { browser.hard_to_use(&axe).await } else { Vec::new() };
                if too_wide > 0 || !complaints.is_empty() || !hard_to_use.is_empty() || twice != json!([]) {
                    wrong.push(format!(
                        "{path} {theme} {width}: {too_wide} pixels too wide, ids {twice}, {complaints:?}"
                    ));
                }
                browser.screenshot(&shots().join(format!("{name}-{theme}-{width}.png"))).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The pictures of the README. `UPDATE=1 ./dev test readme_pictures` takes them again.
#[tokio::test(flavor = "multi_thread")]
async fn readme_pictures() {
    const MAX_BYTES: u64 = 200_000;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
    let (console, shop_page) = (folder.join("console.png"), folder.join("shop.png"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        take_pictures(&console, &shop_page).await;
    }
    for picture in [console, shop_page] {
        let bytes = std::fs::metadata(&picture).expect("UPDATE=1 ./dev test readme_pictures takes it").len();
        assert!(bytes < MAX_BYTES, "{} has {bytes} bytes", picture.display());
    }
}

async fn take_pictures(console: &Path, shop_page: &Path) {
    let (system, _worker) = shop().await;
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seed");
    shared::seed::load(&system.app.db, &seed).await.unwrap();
    shared::seed::load_users(&system.app.db, &seed).await.unwrap();
    let browser = Browser::open(&system.app.url).await;
    browser.size(1280, 800).await;
    browser.scheme("light").await;
    browser.sign_in("/signin", "alice@millrace.test", "demo-alice-2026").await;
    for sku in ["MUG-STONE-350", "BEAN-HOUSE-250"] {
        browser.go(&format!("/p/{sku}")).await;
        browser.click(".buy button").await;
        browser.sees("It is in your cart").await;
    }
    browser.go("/p/MUG-STONE-350").await;
    browser.sees("In stock").await;
    browser.screenshot(shop_page).await;
    let number = check_out(&browser, "tok_flaky_8").await;
    browser.sees("a person looks at it now").await;
    browser.sign_in("/console/signin", "staff@millrace.test", "demo-staff-2026").await;
    browser.go(&format!("/console/orders/{number}")).await;
    browser.sees("waits for you").await;
    browser.screenshot(console).await;
}
