//! What the names in the cases stand for, such as `{order}`.

/// The values of `{name}`: expressions that may use the names before them.
pub const NAMES: &[(&str, &str)] = &[
    ("half_year_ago", "select to_char(now() at time zone 'utc' - interval '180 days', 'YYYY-MM-DD')"),
    ("week_ago", "select to_char(now() at time zone 'utc' - interval '7 days', 'YYYY-MM-DD')"),
    ("day_after", "select to_char(now() at time zone 'utc' - interval '179 days', 'YYYY-MM-DD')"),
    ("hot_email", "select 'user1@example.com'"),
    ("hot_customer", "select id from customers where lower(email) = '{hot_email}' order by id limit 1"),
    // An order of a customer with few orders.
    (
        "order",
        "select id from orders o where status = 'delivered' and id > (select id from orders order by id offset 5000 limit 1)
            and (select count(*) from orders where customer_id = o.customer_id) between 2 and 20
            and exists (select from customers where id = o.customer_id and user_id is not null)
          order by id limit 1",
    ),
    ("customer", "select customer_id from orders where id = '{order}'"),
    ("email", "select email from customers where id = '{customer}'"),
    ("user", "select user_id from customers where id = '{customer}'"),
    ("reservation", "select id from reservations where order_id = '{order}'"),
    // The first product is the hottest. One in the middle is hardly ever sold.
    ("hot_product", "select id from products where active order by id limit 1"),
    // Sold for half a year only.
    ("gone_product", "select id from products where sku like '%-0000002'"),
    ("cold_product", "select id from products where active order by id offset (select count(*) / 2 from products) limit 1"),
    ("sku", "select sku from products where id = '{cold_product}'"),
    ("dead_job", "select id from jobs where state = 'dead' order by id limit 1"),
    ("error", "select error_fingerprint from jobs where state = 'dead' order by id limit 1"),
    ("actor", "select actor_id from actions where action = 'sign_in' limit 1"),
    ("audit_run", "select id from audit_runs limit 1"),
    ("bulk_action", "select id from bulk_actions limit 1"),
    ("service_account", "select id from service_accounts order by id limit 1"),
    ("api_key", "select id from api_keys where user_id = '{service_account}' limit 1"),
    ("webhook", "select id from webhook_endpoints limit 1"),
    ("delivered", "select subject from webhook_deliveries where state = 'delivered' order by position desc limit 1"),
    (
        "event",
        "select 'evt_' || subject || '_' || sequence
           from webhook_deliveries where state = 'failed' order by position limit 1",
    ),
    ("warehouse", "select id from warehouses order by priority limit 1"),
    // Without movements for half a year.
    ("closed_warehouse", "select id from warehouses order by priority desc limit 1"),
    ("inventory", "select id from inventory where product_id = '{cold_product}' limit 1"),
    ("in_stock_1", "select product_id from inventory i where on_hand - reserved > 300
                       and exists (select from products where id = i.product_id and active) order by id limit 1"),
    ("in_stock_2", "select product_id from inventory i where on_hand - reserved > 300
                       and exists (select from products where id = i.product_id and active) order by id desc limit 1"),
    // One category has the newest tenth of all products. The large one is the largest of the older categories.
    ("new_category", "select category_id from products order by id desc limit 1"),
    ("large_category", "select category_id from products where category_id <> '{new_category}' group by 1 order by count(*) desc limit 1"),
    ("small_category", "select category_id from products group by 1 order by count(*) limit 1"),
];
