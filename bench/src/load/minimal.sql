-- The schema of minimal orders, the baseline: order, lines, stock, first event, payment job. It has no accounts,
-- reservations, ledger or idempotency keys, which our own orders have.
create schema minimal;

create table minimal.products (
    id          uuid primary key,
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

-- The same in one call: the strongest rival, since nothing travels while the stock is locked. Returns the answer's body.
-- Too little stock violates the check of the table.
create function minimal.place(customer uuid, wanted uuid[], quantities int[], address jsonb) returns jsonb language plpgsql as $$
declare
    new_order uuid := gen_random_uuid();
    total bigint;
    answer jsonb;
begin
    perform from minimal.stock where product_id = any(wanted) order by product_id for update;
    update minimal.stock s set available = s.available - w.quantity
      from unnest(wanted, quantities) w (id, quantity)
     where s.product_id = w.id;
    select sum(p.price_minor * w.quantity),
           jsonb_agg(jsonb_build_object('product_id', w.id, 'sku', p.sku, 'quantity', w.quantity, 'unit_price', p.price_minor))
      into total, answer
      from unnest(wanted, quantities) w (id, quantity) join minimal.products p on p.id = w.id;
    insert into minimal.orders (id, customer_id, total_minor, shipping_address) values (new_order, customer, total, address);
    insert into minimal.order_items (order_id, line, product_id, sku, name, quantity, unit_price_minor)
    select new_order, w.line, w.id, p.sku, p.name, w.quantity, p.price_minor
      from unnest(wanted, quantities) with ordinality w (id, quantity, line) join minimal.products p on p.id = w.id;
    insert into minimal.order_events (order_id, sequence, type, data)
    values (new_order, 1, 'placed', jsonb_build_object('total', total));
    insert into minimal.jobs (id, kind, args)
    values (gen_random_uuid(), 'process_payment', jsonb_build_object('order_id', new_order));
    return jsonb_build_object('id', new_order, 'status', 'pending', 'items', answer, 'total', total);
end $$;

insert into minimal.products
select id, sku, name, price_minor from public.products where sku like 'BENCH-%';
insert into minimal.stock select id, 1000000000 from minimal.products;
analyze minimal.products, minimal.stock;
