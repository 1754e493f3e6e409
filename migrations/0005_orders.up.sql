create sequence order_numbers;

create table orders (
    -- Made on arrival and kept over retries, so that a commit in doubt can be looked up.
    id               uuid primary key,
    number           bigint not null default nextval('order_numbers') constraint orders_number_key unique,
    customer_id      uuid not null references customers,
    placed_by        uuid not null references users,
    status           text not null default 'pending' check (status in (
                         'pending', 'processing', 'paid', 'shipped', 'delivered', 'cancelling', 'cancelled')),
    currency         text not null,
    total_minor      bigint not null check (total_minor >= 0),
    shipping_address jsonb not null,
    -- Erased after the charge.
    payment_token    text,
    cancel_reason    text check (length(cancel_reason) <= 500),
    -- Counts the order's events; raised in the same statement that changes the order.
    event_sequence   int not null default 1,
    version          int not null default 1,
    created_at       timestamptz not null default clock_timestamp(),
    updated_at       timestamptz not null default clock_timestamp()
) with (fillfactor = 85);
create index orders_customer_id on orders (customer_id, id);
create index orders_status on orders (status, id);
-- A customer's orders in one state, however many others there are; and "how many unpaid orders has this
-- customer?" is asked at every placement.
create index orders_customer_status on orders (customer_id, status, id);

create table order_items (
    order_id         uuid not null references orders,
    line             smallint not null,
    product_id       uuid not null references products,
    -- As they were at placement: an old order shows what was bought, whatever the product is called today.
    sku              text not null,
    name             text not null,
    quantity         int not null check (quantity > 0),
    unit_price_minor bigint not null check (unit_price_minor >= 0),
    primary key (order_id, line)
);

alter table reservations add constraint reservations_order_id_fkey foreign key (order_id) references orders;

create table order_events (
    order_id   uuid not null references orders,
    sequence   int not null,
    type       text not null,
    data       jsonb not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    primary key (order_id, sequence)
);

-- What a caller asked for under a key, and what came of it. A placed order is its own answer
-- (`resource`); other requests keep theirs. Only successes stay.
create table idempotency_keys (
    caller_id  uuid not null,
    key        text not null check (length(key) <= 255),
    body_hash  bytea not null,
    resource   uuid,
    status     smallint,
    headers    jsonb,
    body       bytea,
    created_at timestamptz not null default clock_timestamp(),
    primary key (caller_id, key)
);
create index idempotency_keys_created_at on idempotency_keys (created_at);
