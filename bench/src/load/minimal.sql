-- The schema of minimal orders, the baseline: order, lines, stock, first event, payment job. It has no accounts,
-- reservations, ledger or idempotency keys, which our own orders have.
create schema minimal;

create table minimal.products (
    id          uuid primary key,
    number      int not null unique,
    sku         text not null,
    name        text not null,
    price_minor bigint not null
);
create table minimal.stock (
    product_id uuid primary key references minimal.products,
    available  int not null check (available >= 0)
) with (fillfactor = 70);
create table minimal.orders (
    id               uuid primary key,
    customer_id      uuid not null,
    status           text not null default 'pending',
    total_minor      bigint not null,
    shipping_address jsonb not null,
    created_at       timestamptz not null default now()
);
create index on minimal.orders (customer_id, id);
create table minimal.order_items (
    order_id         uuid not null references minimal.orders,
    line             smallint not null,
    product_id       uuid not null references minimal.products,
    sku              text not null,
    name             text not null,
    quantity         int not null,
    unit_price_minor bigint not null,
    primary key (order_id, line)
);
create table minimal.order_events (
    order_id   uuid not null references minimal.orders,
    sequence   int not null,
    type       text not null,
    data       jsonb not null,
    created_at timestamptz not null default now(),
    primary key (order_id, sequence)
);
create table minimal.jobs (
    id     uuid primary key,
    kind   text not null,
    args   jsonb not null,
    state  text not null default 'ready',
    run_at timestamptz not null default now()
);
create index on minimal.jobs (run_at, id) where state = 'ready';

-- Places an order for one unit of each of two products, by their numbers. One round trip, without parsing or an answer.
create function minimal.place(one int, other int) returns uuid language plpgsql as $$
declare
    new_order uuid := gen_random_uuid();
    wanted uuid[] := array(select id from minimal.products where number in (one, other));
    total bigint;
begin
    perform from minimal.stock where product_id = any(wanted) order by product_id for update;
    update minimal.stock set available = available - 1 where product_id = any(wanted);
    select sum(price_minor) into total from minimal.products where id = any(wanted);
    insert into minimal.orders (id, customer_id, total_minor, shipping_address)
    values (new_order, wanted[1], total, '{"name": "Bench", "line1": "1 Mill Lane", "city": "Bath"}');
    insert into minimal.order_items (order_id, line, product_id, sku, name, quantity, unit_price_minor)
    select new_order, row_number() over (), id, sku, name, 1, price_minor from minimal.products where id = any(wanted);
    insert into minimal.order_events (order_id, sequence, type, data)
    values (new_order, 1, 'placed', jsonb_build_object('total', total));
    insert into minimal.jobs (id, kind, args)
    values (gen_random_uuid(), 'process_payment', jsonb_build_object('order_id', new_order));
    return new_order;
end $$;

insert into minimal.products
select id, row_number() over (order by id), sku, name, price_minor from public.products where sku like 'BENCH-%';
insert into minimal.stock select id, 1000000000 from minimal.products;
analyze minimal.products, minimal.stock;
