//! The requests to explain: every list with each combination of filters that could need an index of its own, and every
//! lookup.

use serde::Serialize;

/// The user of a request. Customers see other rows than staff, by other statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum User {
    Anyone,
    Customer,
    /// Has placed a seventh of all orders, and is several customers.
    HotCustomer,
    Staff,
    Admin,
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anyone => "anyone",
            Self::Customer => "customer",
            Self::HotCustomer => "hot customer",
            Self::Staff => "staff",
            Self::Admin => "admin",
        })
    }
}

pub struct Case {
    pub user: User,
    pub path: &'static str,
    /// A body makes the request a POST.
    pub body: Option<&'static str>,
    pub sorted: Option<Sorted>,
    /// A search by words or prices.
    pub search: bool,
}

/// The rows of a list in SQL: the table with its conditions, the order, and the part of the cursor before the id.
#[derive(Clone, Copy)]
pub struct Sorted {
    pub rows: &'static str,
    pub by: &'static str,
    pub rank: &'static str,
}

/// Requests that may read more than the limits, and why we accept that. An entry that stays within the limits must be
/// removed.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("/v1/orders?status=cancelling", "a page looks at all orders that are not shipped yet, which share a stage"),
    ("/v1/inventory/reservations?product_id={hot_product}", "it looks at all live reservations, which are few"),
    (
        "/v1/ops/jobs?kind=cancel_order",
        "an index by kind would cost every job time, and few people read this list; a page looks at 20,000 jobs",
    ),
    ("/v1/ops/jobs?kind=process_payment", "likewise"),
    ("/v1/ops/jobs?kind=no_such_kind", "likewise"),
    ("/v1/ops/jobs?worker_id={user}", "likewise"),
    ("/v1/ops/jobs?request_id=none", "likewise"),
    (
        "/v1/events?types=order.delivered",
        "a page looks at 10,000 events at most; an index by type would cost every event time",
    ),
    ("/v1/webhooks", "it counts what waits, up to a million at each endpoint"),
    ("/v1/webhooks/{webhook}", "likewise"),
    ("/v1/ops/queues", "it counts all ready jobs, which is its purpose"),
    ("/v1/ops/summary", "it looks at up to 5,000 dead jobs and their orders, once a second for all viewers"),
];

/// Read routes that are answered from memory. A task reads the statistics for all viewers, a step at a time.
pub const FROM_MEMORY: &[&str] = &["/v1/ops/history", "/v1/webhooks/event-types"];

const NEWEST: &str = "id desc";
const OLDEST: &str = "id";
const CHEAPEST: &str = "price_minor, id";

pub fn one(user: User, path: &'static str) -> Case {
    Case { user, path, body: None, sorted: None, search: path.contains("q=") || path.contains("_price=") }
}

fn list(user: User, path: &'static str, rows: &'static str, by: &'static str) -> Case {
    Case { sorted: Some(Sorted { rows, by, rank: "0" }), ..one(user, path) }
}

fn by_price(user: User, path: &'static str, rows: &'static str) -> Case {
    Case { sorted: Some(Sorted { rows, by: CHEAPEST, rank: "price_minor" }), ..one(user, path) }
}

fn post(user: User, path: &'static str, body: &'static str) -> Case {
    Case { body: Some(body), ..one(user, path) }
}

pub fn cases() -> Vec<Case> {
    let groups = [
        orders_of_a_period(),
        orders_of_a_customer(),
        own_orders(),
        products(),
        products_by_price(),
        products_by_words(),
        inventory(),
        movements(),
        people(),
        operations(),
        placing(),
    ];
    groups.into_iter().flatten().collect()
}

/// What staff reads of all orders.
fn orders_of_a_period() -> Vec<Case> {
    let staff = |path, rows| list(User::Staff, path, rows, NEWEST);
    vec![
        staff("/v1/orders", "orders"),
        staff("/v1/orders?limit=500", "orders"),
        staff("/v1/orders?status=pending", "orders where status = 'pending'"),
        staff("/v1/orders?status=processing", "orders where status = 'processing'"),
        staff("/v1/orders?status=shipped", "orders where status = 'shipped'"),
        staff("/v1/orders?status=delivered", "orders where status = 'delivered'"),
        staff("/v1/orders?status=cancelling", "orders where status = 'cancelling'"),
        staff("/v1/orders?status=cancelled", "orders where status = 'cancelled'"),
        staff("/v1/orders?from={half_year_ago}T00:00:00Z", "orders where created_at >= '{half_year_ago}Z'"),
        staff("/v1/orders?to={half_year_ago}T00:00:00Z", "orders where created_at < '{half_year_ago}Z'"),
        staff(
            "/v1/orders?from={half_year_ago}T00:00:00Z&to={day_after}T00:00:00Z",
            "orders where created_at >= '{half_year_ago}Z' and created_at < '{day_after}Z'",
        ),
        staff(
            "/v1/orders?from={half_year_ago}T00:00:00Z&to={day_after}T00:00:00Z&status=cancelled",
            "orders where created_at >= '{half_year_ago}Z' and created_at < '{day_after}Z' and status = 'cancelled'",
        ),
        one(User::Staff, "/v1/orders?to={half_year_ago}T00:00:00Z&status=shipped"),
        staff(
            "/v1/orders?to={half_year_ago}T00:00:00Z&status=processing",
            "orders where created_at < '{half_year_ago}Z' and status = 'processing'",
        ),
        one(User::Staff, "/v1/orders/{order}"),
        one(User::Staff, "/v1/orders/{order}/events"),
        one(User::Staff, "/v1/orders/{order}/allocation"),
        one(User::Staff, "/v1/orders/{order}/charges"),
    ]
}

/// What staff reads of one customer's orders.
fn orders_of_a_customer() -> Vec<Case> {
    let staff = |path, rows| list(User::Staff, path, rows, NEWEST);
    vec![
        staff("/v1/orders?customer_id={hot_customer}", "orders where customer_id = '{hot_customer}'"),
        staff(
            "/v1/orders?customer_id={hot_customer}&status=delivered",
            "orders where customer_id = '{hot_customer}' and status = 'delivered'",
        ),
        staff(
            "/v1/orders?customer_id={hot_customer}&status=cancelled",
            "orders where customer_id = '{hot_customer}' and status = 'cancelled'",
        ),
        one(User::Staff, "/v1/orders?customer_id={hot_customer}&status=cancelling"),
        one(User::Staff, "/v1/orders?customer_id={hot_customer}&status=pending"),
        one(User::Staff, "/v1/orders?customer_id={hot_customer}&status=paid&to={half_year_ago}T00:00:00Z"),
        staff(
            "/v1/orders?customer_id={hot_customer}&from={half_year_ago}T00:00:00Z&to={day_after}T00:00:00Z",
            "orders where customer_id = '{hot_customer}' and created_at >= '{half_year_ago}Z' and created_at < '{day_after}Z'",
        ),
        staff(
            "/v1/orders?customer_id={hot_customer}&status=cancelled&to={half_year_ago}T00:00:00Z",
            "orders where customer_id = '{hot_customer}' and status = 'cancelled' and created_at < '{half_year_ago}Z'",
        ),
        one(User::Staff, "/v1/orders?customer_id={customer}"),
        one(User::Staff, "/v1/orders?customer_id={customer}&status=delivered"),
        one(User::Staff, "/v1/orders?customer_id={customer}&status=pending"),
    ]
}

/// What customers read of their own orders.
fn own_orders() -> Vec<Case> {
    let hot = |path, rows| list(User::HotCustomer, path, rows, NEWEST);
    vec![
        // This user is six customers. The first one has nearly all of the orders.
        hot("/v1/orders", "orders where customer_id = '{hot_customer}'"),
        hot("/v1/orders?status=cancelled", "orders where customer_id = '{hot_customer}' and status = 'cancelled'"),
        hot("/v1/orders?customer_id={hot_customer}", "orders where customer_id = '{hot_customer}'"),
        hot(
            "/v1/orders?to={half_year_ago}T00:00:00Z",
            "orders where customer_id = '{hot_customer}' and created_at < '{half_year_ago}Z'",
        ),
        one(User::HotCustomer, "/v1/orders?status=cancelling"),
        one(User::HotCustomer, "/v1/orders?customer_id={customer}"),
        one(User::Customer, "/v1/orders"),
        one(User::Customer, "/v1/orders?status=pending"),
        one(User::Customer, "/v1/orders/{order}"),
        one(User::Customer, "/v1/orders/{order}/events"),
    ]
}

fn products() -> Vec<Case> {
    let anyone = |path, rows| list(User::Anyone, path, rows, OLDEST);
    let staff = |path, rows| list(User::Staff, path, rows, OLDEST);
    vec![
        anyone("/v1/products", "products where active"),
        anyone("/v1/products?limit=500", "products where active"),
        staff("/v1/products?active=false", "products where not active"),
        anyone(
            "/v1/products?category_id={large_category}",
            "products where active and category_id = '{large_category}'",
        ),
        anyone(
            "/v1/products?category_id={small_category}",
            "products where active and category_id = '{small_category}'",
        ),
        staff(
            "/v1/products?category_id={large_category}&active=false",
            "products where not active and category_id = '{large_category}'",
        ),
        anyone("/v1/products?category_id={new_category}", "products where active and category_id = '{new_category}'"),
        one(User::Anyone, "/v1/products/{cold_product}"),
        one(User::Anyone, "/v1/products/{hot_product}"),
        one(User::Anyone, "/v1/categories"),
        one(User::Anyone, "/v1/categories/{large_category}"),
    ]
}

/// Prices are from 0.99 to 200.99, and most are low. Only the newest products cost more than 300.
fn products_by_price() -> Vec<Case> {
    vec![
        by_price(User::Anyone, "/v1/products?min_price=30000", "products where active and price_minor >= 30000"),
        by_price(User::Anyone, "/v1/products?min_price=45000", "products where active and price_minor >= 45000"),
        by_price(
            User::Staff,
            "/v1/products?active=false&max_price=101",
            "products where not active and price_minor <= 101",
        ),
        by_price(User::Anyone, "/v1/products?min_price=10000", "products where active and price_minor >= 10000"),
        by_price(
            User::Anyone,
            "/v1/products?min_price=20000&max_price=21000",
            "products where active and price_minor between 20000 and 21000",
        ),
        by_price(
            User::Anyone,
            "/v1/products?min_price=20090&max_price=21000",
            "products where active and price_minor between 20090 and 21000",
        ),
        by_price(User::Anyone, "/v1/products?max_price=101", "products where active and price_minor <= 101"),
        by_price(
            User::Anyone,
            "/v1/products?min_price=5000&max_price=5500",
            "products where active and price_minor between 5000 and 5500",
        ),
        by_price(
            User::Anyone,
            "/v1/products?min_price=5000&max_price=5002",
            "products where active and price_minor between 5000 and 5002",
        ),
        by_price(
            User::Anyone,
            "/v1/products?category_id={large_category}&min_price=5000&max_price=5500",
            "products where active and category_id = '{large_category}' and price_minor between 5000 and 5500",
        ),
        by_price(
            User::Anyone,
            "/v1/products?category_id={large_category}&min_price=20000&max_price=21000",
            "products where active and category_id = '{large_category}' and price_minor between 20000 and 21000",
        ),
        by_price(
            User::Anyone,
            "/v1/products?category_id={small_category}&min_price=20000&max_price=21000",
            "products where active and category_id = '{small_category}' and price_minor between 20000 and 21000",
        ),
    ]
}

/// The words are in every 12th, 30th, 100th or 20,000th product, or in none. Some are a single letter.
fn products_by_words() -> Vec<Case> {
    let anyone = |path, rows| list(User::Anyone, path, rows, OLDEST);
    let staff = |path, rows| list(User::Staff, path, rows, OLDEST);
    vec![
        anyone("/v1/products?q=m", "products where active and search like '% m%'"),
        anyone("/v1/products?q=mu", "products where active and search like '% mu%'"),
        one(User::Anyone, "/v1/products?q=zz"),
        anyone("/v1/products?q=red", "products where active and search like '%red%'"),
        anyone("/v1/products?q=mug", "products where active and search like '%mug%'"),
        anyone("/v1/products?q=limited", "products where active and search like '%limited%'"),
        anyone("/v1/products?q=edition", "products where active and search like '%edition%'"),
        anyone("/v1/products?q=mug+edition", "products where active and search like '%mug edition%'"),
        anyone(
            "/v1/products?q=edition&category_id={new_category}",
            "products where active and search like '%edition%' and category_id = '{new_category}'",
        ),
        anyone("/v1/products?q=red+oak+mug", "products where active and search like '%red oak mug%'"),
        one(User::Anyone, "/v1/products?q=heirloom"),
        one(User::Anyone, "/v1/products?q=zeppelin"),
        one(User::Anyone, "/v1/products?q={sku}"),
        one(User::Anyone, "/v1/products?q=0123"),
        anyone(
            "/v1/products?q=mug&category_id={large_category}",
            "products where active and search like '%mug%' and category_id = '{large_category}'",
        ),
        anyone(
            "/v1/products?q=mug&category_id={small_category}",
            "products where active and search like '%mug%' and category_id = '{small_category}'",
        ),
        by_price(
            User::Anyone,
            "/v1/products?q=mug&min_price=20000&max_price=21000",
            "products where active and search like '%mug%' and price_minor between 20000 and 21000",
        ),
        one(User::Anyone, "/v1/products?q=heirloom&category_id={large_category}&min_price=1000&max_price=5000"),
        staff("/v1/products?q=mug&active=false", "products where not active and search like '%mug%'"),
    ]
}

fn inventory() -> Vec<Case> {
    let staff = |path, rows| list(User::Staff, path, rows, OLDEST);
    vec![
        staff("/v1/inventory", "inventory"),
        one(User::Staff, "/v1/inventory?product_id={hot_product}"),
        one(User::Staff, "/v1/inventory?product_id={hot_product}&warehouse_id={warehouse}"),
        staff("/v1/inventory?warehouse_id={warehouse}", "inventory where warehouse_id = '{warehouse}'"),
        staff("/v1/inventory?warehouse_id={closed_warehouse}", "inventory where warehouse_id = '{closed_warehouse}'"),
        staff("/v1/inventory?low_stock=true", "inventory where shortfall is not null"),
        staff("/v1/inventory?low_stock=false", "inventory where shortfall is null"),
        staff(
            "/v1/inventory?low_stock=true&warehouse_id={warehouse}",
            "inventory where shortfall is not null and warehouse_id = '{warehouse}'",
        ),
        staff(
            "/v1/inventory?low_stock=true&warehouse_id={closed_warehouse}",
            "inventory where shortfall is not null and warehouse_id = '{closed_warehouse}'",
        ),
        one(User::Staff, "/v1/inventory?low_stock=true&product_id={hot_product}"),
        Case {
            sorted: Some(Sorted {
                rows: "inventory where shortfall is not null",
                by: "shortfall, id",
                rank: "shortfall",
            }),
            ..one(User::Staff, "/v1/inventory/low-stock")
        },
        one(User::Anyone, "/v1/inventory/onhand?product_id={hot_product}"),
        one(User::Staff, "/v1/inventory/onhand?product_id={hot_product}"),
        one(User::Staff, "/v1/inventory/{inventory}"),
        one(User::Staff, "/v1/inventory?q=mug"),
        one(User::Staff, "/v1/inventory?q=heirloom"),
        one(User::Staff, "/v1/inventory?q={sku}&warehouse_id={warehouse}"),
        one(User::Staff, "/v1/inventory?q=zeppelin&low_stock=true"),
        one(User::Staff, "/v1/inventory?product_id={cold_product}&as_of={week_ago}T00:00:00Z"),
        one(User::Staff, "/v1/inventory/{inventory}/history"),
        Case {
            sorted: Some(Sorted {
                rows: "reservations where state = 'held'",
                by: "expires_at, id",
                rank: "(extract(epoch from expires_at) * 1000000)::bigint",
            }),
            ..one(User::Staff, "/v1/inventory/reservations")
        },
        one(User::Staff, "/v1/inventory/reservations?product_id={hot_product}"),
        one(User::Staff, "/v1/inventory/reservations/{reservation}"),
        one(User::Staff, "/v1/warehouses"),
        one(User::Staff, "/v1/warehouses/{warehouse}"),
    ]
}

fn movements() -> Vec<Case> {
    let staff = |path, rows| list(User::Staff, path, rows, NEWEST);
    vec![
        staff("/v1/inventory/movements", "stock_movements"),
        staff("/v1/inventory/movements?product_id={hot_product}", "stock_movements where product_id = '{hot_product}'"),
        one(User::Staff, "/v1/inventory/movements?product_id={cold_product}"),
        staff(
            "/v1/inventory/movements?product_id={gone_product}",
            "stock_movements where product_id = '{gone_product}'",
        ),
        one(User::Staff, "/v1/inventory/movements?product_id={gone_product}&from={day_after}T00:00:00Z"),
        one(User::Staff, "/v1/inventory/movements?warehouse_id={closed_warehouse}&from={day_after}T00:00:00Z"),
        staff("/v1/inventory/movements?warehouse_id={warehouse}", "stock_movements where warehouse_id = '{warehouse}'"),
        staff(
            "/v1/inventory/movements?warehouse_id={closed_warehouse}",
            "stock_movements where warehouse_id = '{closed_warehouse}'",
        ),
        staff(
            "/v1/inventory/movements?product_id={hot_product}&warehouse_id={warehouse}",
            "stock_movements where product_id = '{hot_product}' and warehouse_id = '{warehouse}'",
        ),
        one(User::Staff, "/v1/inventory/movements?order_id={order}"),
        one(User::Staff, "/v1/inventory/movements?order_id={order}&product_id={hot_product}"),
        staff(
            "/v1/inventory/movements?to={half_year_ago}T00:00:00Z",
            "stock_movements where created_at < '{half_year_ago}Z'",
        ),
        staff(
            "/v1/inventory/movements?from={half_year_ago}T00:00:00Z&to={day_after}T00:00:00Z",
            "stock_movements where created_at >= '{half_year_ago}Z' and created_at < '{day_after}Z'",
        ),
        staff(
            "/v1/inventory/movements?product_id={hot_product}&from={half_year_ago}T00:00:00Z&to={day_after}T00:00:00Z",
            "stock_movements where product_id = '{hot_product}' and created_at >= '{half_year_ago}Z' and created_at < '{day_after}Z'",
        ),
        one(User::Staff, "/v1/inventory/movements?product_id={cold_product}&from={half_year_ago}T00:00:00Z"),
        staff(
            "/v1/inventory/movements?warehouse_id={closed_warehouse}&to={half_year_ago}T00:00:00Z",
            "stock_movements where warehouse_id = '{closed_warehouse}' and created_at < '{half_year_ago}Z'",
        ),
    ]
}

fn people() -> Vec<Case> {
    vec![
        list(User::Staff, "/v1/customers", "customers", OLDEST),
        one(User::Staff, "/v1/customers?email={email}"),
        one(User::Staff, "/v1/customers?email=nobody@example.com"),
        one(User::Staff, "/v1/customers?q={email}"),
        one(User::Staff, "/v1/customers?q=zzzzz"),
        one(User::Staff, "/v1/customers/{customer}"),
        list(User::Admin, "/v1/users", "users", OLDEST),
        one(User::Admin, "/v1/users?email={email}"),
        one(User::Admin, "/v1/users?q={email}"),
        one(User::Admin, "/v1/users?q=zzzzz"),
        one(User::Admin, "/v1/users?role=staff"),
        one(User::Admin, "/v1/users/{user}"),
        one(User::Staff, "/v1/me/sessions"),
        one(User::Staff, "/v1/me/totp"),
        one(User::Staff, "/v1/ops/views"),
        one(User::Admin, "/v1/service-accounts"),
        one(User::Admin, "/v1/api-keys"),
        one(User::Admin, "/v1/api-keys?service_account_id={user}"),
        one(User::Admin, "/v1/api-keys?state=active"),
        one(User::Admin, "/v1/service-accounts/{service_account}"),
        one(User::Admin, "/v1/api-keys/{api_key}"),
    ]
}

fn operations() -> Vec<Case> {
    let staff = |path, rows| list(User::Staff, path, rows, NEWEST);
    vec![
        one(User::Staff, "/v1/events?types=order.delivered"),
        one(User::Staff, "/v1/events?subject={order}"),
        one(User::Staff, "/v1/ops/queues"),
        staff("/v1/ops/jobs", "jobs"),
        staff("/v1/ops/jobs?state=done", "jobs where state = 'done'"),
        staff("/v1/ops/jobs?state=ready", "jobs where state = 'ready'"),
        one(User::Staff, "/v1/ops/jobs?state=running"),
        one(User::Staff, "/v1/ops/jobs?state=discarded"),
        staff("/v1/ops/jobs?state=dead", "jobs where state = 'dead'"),
        one(User::Staff, "/v1/ops/jobs?state=dead&queue=low"),
        one(User::Staff, "/v1/ops/jobs?state=dead&kind=cancel_order"),
        staff("/v1/ops/jobs?state=dead&error={error}", "jobs where state = 'dead' and error_fingerprint = '{error}'"),
        staff("/v1/ops/jobs?error={error}", "jobs where error_fingerprint = '{error}'"),
        staff("/v1/ops/jobs?queue=high", "jobs where queue = 'high'"),
        staff("/v1/ops/jobs?queue=default&state=ready", "jobs where queue = 'default' and state = 'ready'"),
        staff("/v1/ops/jobs?kind=process_payment", "jobs where kind = 'process_payment'"),
        one(User::Staff, "/v1/ops/jobs?kind=cancel_order"),
        one(User::Staff, "/v1/ops/jobs?kind=no_such_kind"),
        one(User::Staff, "/v1/ops/jobs?worker_id={user}"),
        one(User::Staff, "/v1/ops/jobs?request_id=none"),
        one(User::Staff, "/v1/ops/jobs?bulk_id={user}"),
        one(User::Staff, "/v1/ops/jobs?to={half_year_ago}T00:00:00Z"),
        one(User::Staff, "/v1/ops/jobs?order_id={order}"),
        one(User::Staff, "/v1/ops/jobs/{dead_job}"),
        one(User::Staff, "/v1/ops/workers"),
        one(User::Staff, "/v1/ops/audit"),
        one(User::Staff, "/v1/ops/audit/runs"),
        one(User::Staff, "/v1/ops/audit/runs/{audit_run}"),
        staff("/v1/ops/actions", "actions"),
        staff("/v1/ops/actions?action=sign_in", "actions where action = 'sign_in'"),
        one(User::Staff, "/v1/ops/actions?action=no_such_action"),
        staff("/v1/ops/actions?actor_id={actor}", "actions where actor_id = '{actor}'"),
        staff("/v1/ops/actions?to={half_year_ago}T00:00:00Z", "actions where at < '{half_year_ago}Z'"),
        one(User::Staff, "/v1/ops/summary"),
        one(User::Staff, "/v1/ops/errors"),
        one(User::Staff, "/v1/ops/errors/{error}"),
        one(User::Staff, "/v1/ops/bulk"),
        one(User::Staff, "/v1/ops/bulk/{bulk_action}"),
        one(User::Staff, "/v1/search?q={hot_email}"),
        one(User::Staff, "/v1/search?q={order}"),
        one(User::Staff, "/v1/ops/clock"),
    ]
}

/// What placing an order looks up.
fn placing() -> Vec<Case> {
    vec![post(
        User::Customer,
        "/v1/orders",
        r#"{"items": [{"product_id": "{in_stock_1}", "quantity": 1}, {"product_id": "{in_stock_2}", "quantity": 2}],
            "payment_token": "tok_ok", "shipping_address": {"line1": "1 Mill Lane", "country": "US"}}"#,
    )]
}
