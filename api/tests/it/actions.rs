//! The record of what people do by hand: `GET /v1/ops/actions`.

use reqwest::Method;
use serde_json::{Value, json};

use testkit::app::{PASSWORD, TestApp};
use testkit::person::{Person, Reply};

/// The newest actions, newest first.
async fn actions(staff: &Person<'_>, query: &str) -> Vec<Value> {
    let page = staff.get(&format!("/v1/ops/actions?{query}")).await.done(200);
    page.body["data"].as_array().unwrap().clone()
}

/// Sends a request with its own request id.
async fn send(person: &Person<'_>, request_id: &str, method: Method, path: &str, body: Value) -> Reply {
    let body = (method != Method::DELETE).then_some(body);
    person.send(method, path, body, &[("x-request-id", request_id)]).await
}

async fn dead_job(app: &TestApp) -> String {
    let sql = "insert into jobs (queue, kind, args, state, attempt, max_attempt, error, error_fingerprint, finished_at)
               values ('low', 'noop', '{}', 'dead', 2, 2, 'boom', 'aa', now()) returning id::text";
    sqlx::query_scalar(sql).fetch_one(&app.db).await.unwrap()
}

#[tokio::test]
async fn what_staff_do_stands_there_once_with_who_what_and_from_where() {
    let app = TestApp::new().await;
    let (staff, admin, alice) = (app.staff().await, app.admin().await, app.customer().await);
    let (one, other) = (dead_job(&app).await, dead_job(&app).await);
    let usd = json!({ "amount": 1200, "currency": "USD" });

    let product = json!({ "sku": "MUG", "name": "Mug", "price": usd });
    let product = send(&staff, "r1", Method::POST, "/v1/products", product).await.done(201);
    let product_path = product.header("location").to_owned();
    let category = send(&staff, "r4", Method::POST, "/v1/categories", json!({ "name": "Mugs" })).await.done(201);
    let category_path = category.header("location").to_owned();
    let warehouse = json!({ "code": "EAST", "name": "East" });
    let warehouse = send(&staff, "r7", Method::POST, "/v1/warehouses", warehouse).await.done(201);
    let warehouse_path = warehouse.header("location").to_owned();
    let customer = json!({ "email": "carol@example.com", "name": "Carol" });
    let customer = send(&staff, "r9", Method::POST, "/v1/customers", customer).await.done(201);
    let customer_path = customer.header("location").to_owned();
    let (product, category) = (product.id().to_owned(), category.id().to_owned());
    let (warehouse, customer, user) = (warehouse.id().to_owned(), customer.id().to_owned(), alice.id.to_string());

    for (person, request_id, method, path, body, status) in [
        (&staff, "r2", Method::PATCH, product_path.clone(), json!({ "name": "Cup", "active": true }), 200),
        (&staff, "r3", Method::DELETE, product_path, Value::Null, 204),
        (&staff, "r5", Method::PATCH, category_path.clone(), json!({ "name": "Cups" }), 200),
        (&staff, "r6", Method::DELETE, category_path, Value::Null, 204),
        (&staff, "r8", Method::PATCH, warehouse_path, json!({ "priority": 7 }), 200),
        (&staff, "r10", Method::PATCH, customer_path, json!({ "phone": "+44 20 7946 0000" }), 200),
        (&staff, "r11", Method::POST, "/v1/ops/queues/low/pause".to_owned(), json!({}), 200),
        (&staff, "r12", Method::POST, "/v1/ops/queues/low/resume".to_owned(), json!({}), 200),
        (&staff, "r13", Method::POST, format!("/v1/ops/jobs/{one}/discard"), json!({}), 200),
        (&staff, "r14", Method::POST, format!("/v1/ops/jobs/{other}/retry"), json!({}), 200),
        (&admin, "r15", Method::PATCH, format!("/v1/users/{user}"), json!({ "role": "staff", "active": true }), 200),
        (&admin, "r16", Method::PATCH, format!("/v1/users/{user}"), json!({ "active": false }), 200),
    ] {
        send(person, request_id, method, &path, body).await.done(status);
    }
    dead_job(&app).await;
    let which = json!({ "kind": "noop", "limit": 5 });
    send(&staff, "r17", Method::POST, "/v1/ops/jobs/retry", which).await.done(200);

    let filter = json!({ "kind": "noop", "queue": null, "error": null, "limit": 5, "retried": 1 });
    let to_staff = json!({ "role": { "from": "customer", "to": "staff" } });
    let deactivated = json!({ "active": { "from": true, "to": false } });
    for (request_id, person, action, subject_type, subject_id, data) in [
        ("r1", &staff, "product.created", "product", product.as_str(), json!({})),
        ("r2", &staff, "product.changed", "product", &product, json!({ "changed": ["name"] })),
        ("r3", &staff, "product.ended", "product", &product, json!({})),
        ("r4", &staff, "category.created", "category", &category, json!({})),
        ("r5", &staff, "category.changed", "category", &category, json!({ "changed": ["name"] })),
        ("r6", &staff, "category.deleted", "category", &category, json!({})),
        ("r7", &staff, "warehouse.created", "warehouse", &warehouse, json!({})),
        ("r8", &staff, "warehouse.changed", "warehouse", &warehouse, json!({ "changed": ["priority"] })),
        ("r9", &staff, "customer.created", "customer", &customer, json!({})),
        ("r10", &staff, "customer.changed", "customer", &customer, json!({ "changed": ["phone"] })),
        ("r11", &staff, "queue.paused", "queue", "low", json!({})),
        ("r12", &staff, "queue.resumed", "queue", "low", json!({})),
        ("r13", &staff, "job.discarded", "job", &one, json!({ "kind": "noop" })),
        ("r14", &staff, "job.retried", "job", &other, json!({ "kind": "noop" })),
        ("r15", &admin, "user.changed", "user", &user, to_staff),
        ("r16", &admin, "user.changed", "user", &user, deactivated),
        ("r17", &staff, "jobs.retried", "job", "many", filter),
    ] {
        let all = actions(&staff, "limit=100").await;
        let of_request: Vec<&Value> = all.iter().filter(|row| row["request_id"] == request_id).collect();
        let [row] = of_request.as_slice() else { panic!("{request_id} has {of_request:#?}") };
        assert_eq!((&row["action"], &row["data"]), (&json!(action), &data), "{row:#}");
        assert_eq!((&row["subject_type"], &row["subject_id"]), (&json!(subject_type), &json!(subject_id)), "{row:#}");
        assert_eq!(row["by"], json!({ "id": person.id, "name": "Some One" }), "{row:#}");
        assert_eq!(row["address"], "127.0.0.1");
    }
}

#[tokio::test]
async fn sessions_and_passwords_stand_there_and_never_the_address_that_was_typed() {
    let app = TestApp::new().await;
    let (staff, anyone) = (app.staff().await, app.anyone());
    let post = async |person: &Person<'_>, request_id: &str, path: &str, body: Value| {
        send(person, request_id, Method::POST, path, body).await
    };
    let password = |password: &str| json!({ "email": "Zoe@example.com", "password": password });

    let register = json!({ "email": "zoe@example.com", "password": PASSWORD, "name": "Zoe" });
    let zoe = post(&anyone, "s1", "/v1/auth/register", register).await.done(201).id().to_owned();
    let login = post(&anyone, "s2", "/v1/auth/login", password(PASSWORD)).await.done(200);
    post(&anyone, "s3", "/v1/auth/login", password("wrong")).await.refused(401, "invalid_credentials");
    let nobody = json!({ "email": "nobody@example.com", "password": "wrong" });
    post(&anyone, "s4", "/v1/auth/login", nobody).await.refused(401, "invalid_credentials");
    let signed_in = anyone.clone().with(login.body["access_token"].as_str().unwrap());
    let change = json!({ "current_password": PASSWORD, "new_password": "battery horse correct" });
    post(&signed_in, "s5", "/v1/me/password", change).await.done(204);
    post(&signed_in, "s6", "/v1/auth/logout", json!({})).await.done(204);
    let again = post(&anyone, "s7", "/v1/auth/login", password("battery horse correct")).await.done(200);
    let token = json!({ "refresh_token": again.body["refresh_token"] });
    post(&anyone, "s8", "/v1/auth/refresh", token.clone()).await.done(200);
    sqlx::query("update refresh_tokens set spent_at = spent_at - interval '1 minute' where spent_at is not null")
        .execute(&app.db)
        .await
        .unwrap();
    post(&anyone, "s9", "/v1/auth/refresh", token).await.refused(401, "invalid_token");

    let all = actions(&staff, "limit=100").await;
    for (request_id, action, by, subject) in [
        ("s1", "user.registered", json!({ "id": zoe, "name": "Zoe" }), zoe.as_str()),
        ("s2", "auth.signed_in", json!({ "id": zoe, "name": "Zoe" }), &zoe),
        ("s3", "auth.sign_in_failed", Value::Null, &zoe),
        ("s4", "auth.sign_in_failed", Value::Null, "unknown"),
        ("s5", "auth.password_changed", json!({ "id": zoe, "name": "Zoe" }), &zoe),
        ("s6", "auth.signed_out", json!({ "id": zoe, "name": "Zoe" }), &zoe),
        ("s7", "auth.signed_in", json!({ "id": zoe, "name": "Zoe" }), &zoe),
        ("s9", "auth.refresh_token_reused", Value::Null, &zoe),
    ] {
        let of_request: Vec<&Value> = all.iter().filter(|row| row["request_id"] == request_id).collect();
        let [row] = of_request.as_slice() else { panic!("{request_id} has {of_request:#?}") };
        assert_eq!((&row["action"], &row["by"], &row["subject_id"]), (&json!(action), &by, &json!(subject)), "{row:#}");
        assert_eq!(row["address"], "127.0.0.1");
    }
    assert!(!all.iter().any(|row| row["request_id"] == "s8"), "an ordinary refresh is no action");
    let text = Value::from(all).to_string();
    assert!(!text.contains("@example.com") && !text.contains("wrong"), "{text}");
}

#[tokio::test]
async fn a_user_made_on_the_command_line_has_the_system_as_actor() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let [row] = actions(&staff, "action=user.created").await.try_into().unwrap();
    assert_eq!((&row["by"], &row["subject_id"]), (&Value::Null, &json!(staff.id)));
    assert_eq!(
        (&row["data"], &row["request_id"], &row["address"]),
        (&json!({ "role": "staff" }), &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_refused_request_a_replay_and_a_change_of_nothing_write_no_action() {
    let app = TestApp::new().await;
    let (staff, alice) = (app.staff().await, app.customer().await);
    let product = json!({ "sku": "MUG", "name": "Mug", "price": { "amount": 1200, "currency": "USD" } });
    let made = staff.post_with_key("/v1/products", "key", product.clone()).await.done(201);
    let before = actions(&staff, "limit=100").await;

    let replay = staff.post_with_key("/v1/products", "key", product.clone()).await.done(201);
    assert_eq!(replay.header("idempotent-replayed"), "true");
    staff.post("/v1/products", product.clone()).await.refused(409, "sku_taken");
    alice.post("/v1/products", product).await.refused(403, "forbidden");
    let path = made.header("location");
    let stale = staff.send(Method::PATCH, path, Some(json!({ "name": "Cup" })), &[("if-match", "\"9\"")]).await;
    stale.refused(412, "version_mismatch");
    staff.patch(path, json!({ "name": "Mug" })).await.done(200);
    staff.post("/v1/ops/queues/low/resume", json!({})).await.done(200);
    staff.post("/v1/ops/jobs/retry", json!({ "limit": 5 })).await.done(200);
    assert_eq!(actions(&staff, "limit=100").await, before);
}

#[tokio::test]
async fn staff_filter_and_page_the_record_and_customers_may_not_read_it() {
    let app = TestApp::new().await;
    let (staff, other, alice) = (app.staff().await, app.staff().await, app.customer().await);
    alice.get("/v1/ops/actions").await.refused(403, "forbidden");
    app.anyone().get("/v1/ops/actions").await.refused(401, "unauthenticated");
    for queue in ["low", "high"] {
        staff.post(&format!("/v1/ops/queues/{queue}/pause"), json!({})).await.done(200);
    }
    other.post("/v1/ops/queues/low/resume", json!({})).await.done(200);

    let named = async |query: String| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let rows = actions(&staff, &query).await;
        rows.iter().map(|row| (text(&row["action"]), text(&row["subject_id"]))).collect()
    };
    let row = |action: &str, subject: &str| (action.to_owned(), subject.to_owned());
    let (paused_low, paused_high) = (row("queue.paused", "low"), row("queue.paused", "high"));
    let resumed_low = row("queue.resumed", "low");
    let newest = actions(&staff, "action=queue.resumed").await;
    let at = newest[0]["at"].as_str().unwrap();
    for (query, expected) in [
        ("action=queue.paused".to_owned(), vec![&paused_high, &paused_low]),
        (format!("actor_id={}&action=queue.resumed", staff.id), vec![]),
        (format!("actor_id={}&subject_id=low", other.id), vec![&resumed_low]),
        ("subject_id=low".to_owned(), vec![&resumed_low, &paused_low]),
        (format!("from={at}"), vec![&resumed_low]),
        (format!("to={at}&subject_id=low"), vec![&paused_low]),
    ] {
        assert_eq!(named(query.clone()).await.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let first = staff.get("/v1/ops/actions?subject_id=low&limit=1").await.done(200);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    assert_eq!(named(format!("subject_id=low&limit=1&cursor={cursor}")).await, [paused_low]);
    staff.get("/v1/ops/actions?actoin=x").await.refused(422, "unknown_field");
}

#[tokio::test]
async fn the_database_refuses_to_change_or_delete_an_action() {
    let app = TestApp::new().await;
    app.staff().await;
    for sql in ["update actions set action = 'x'", "delete from actions", "truncate actions"] {
        sqlx::query(sql).execute(&app.db).await.unwrap_err();
    }
    let left: i64 = sqlx::query_scalar("select count(*) from actions").fetch_one(&app.db).await.unwrap();
    assert!(left > 0);
}
