-- Two years of orders: `:rows` rows in each table that grows, and more in tables with several rows for an order. The
-- same number of rows gives the same data, except that it always ends now. Each part below is a step of `fill.rs`. All
-- parts run in one transaction.

-- ## helpers
set local work_mem = '256MB';
set local maintenance_work_mem = '1GB';
set local synchronous_commit = off;
set local jit = off;

-- A pseudo-random number from 0 to 1, the same each time.
create function pg_temp.dice(n bigint, throw bigint) returns float8 language sql stable as $$
    select (hashint8extended($1, $2) & x'fffffffffffff'::bigint) / (x'fffffffffffff'::bigint + 1)::float8
$$;
-- A time in the last year: 0 is a year ago, 1 is now. Below 0 it is earlier.
create function pg_temp.moment(share float8) returns timestamptz language sql stable as $$
    select date_trunc('milliseconds', now() - interval '365 days' * (1 - $1))
$$;
-- A UUIDv7 with this time.
create function pg_temp.id_at(what text, at timestamptz, n bigint) returns uuid language sql stable as $$
    select overlay(overlay(md5($1 || $3)
                   placing lpad(to_hex((extract(epoch from $2) * 1000)::bigint), 12, '0') || '7' from 1 for 13)
                   placing '8' from 17 for 1)::uuid
$$;

-- ## categories
insert into categories (id, name, parent_id, created_at, updated_at)
select pg_temp.id_at('category', pg_temp.moment(-2), n), 'Department ' || n, null, pg_temp.moment(-2), pg_temp.moment(-2)
  from generate_series(1, 20) n;
insert into categories (id, name, parent_id, created_at, updated_at)
select pg_temp.id_at('category', pg_temp.moment(-2), n), 'Category ' || n,
       pg_temp.id_at('category', pg_temp.moment(-2), 1 + n % 20), pg_temp.moment(-2), pg_temp.moment(-2)
  from generate_series(21, 220) n;

-- ## warehouses
insert into warehouses (id, code, name, priority, created_at, updated_at)
select pg_temp.id_at('warehouse', pg_temp.moment(-2), n), 'WH-' || n, 'Warehouse ' || n, n * 10,
       pg_temp.moment(-2), pg_temp.moment(-2)
  from generate_series(1, 3) n;

-- ## products
-- Words from common (a thirtieth of the products has each noun) to rare (a 20,000th is an heirloom). The last tenth
-- is one new category, with higher prices and its own words. A planner that assumes an even spread reads far too much.
create temp table p on commit drop as
select n, pg_temp.id_at('product', at, n) as id, at, 99 + (pg_temp.dice(n, 1) ^ 2 * 20000)::bigint + case when n > :rows * 0.95 then 30000 else 0 end as price,
       upper(left(noun, 3)) || '-' || lpad(n::text, 7, '0') as sku,
       colour || ' ' || material || ' ' || noun ||
           case when n % 20000 = 7 then ' Heirloom' when n % 100 = 8 then ' Limited'
                when n > :rows * 0.97 then ' Edition' else '' end as name
  from (select n, pg_temp.moment(n / :rows.0 - 1) as at,
               (array['Red','Blue','Green','Black','White','Grey','Amber','Ivory','Coral','Olive','Plum','Teal'])
                   [1 + floor(12 * pg_temp.dice(n, 2))::int] as colour,
               (array['Stone','Oak','Linen','Steel','Glass','Clay','Wool','Brass','Cork','Bamboo','Ceramic','Leather'])
                   [1 + floor(12 * pg_temp.dice(n, 3))::int] as material,
               (array['Mug','Bowl','Plate','Lamp','Chair','Table','Shelf','Rug','Throw','Cushion','Vase','Tray','Jug',
                      'Basket','Clock','Mirror','Stool','Bench','Candle','Towel','Apron','Board','Knife','Spoon','Pan',
                      'Kettle','Teapot','Carafe','Coaster','Planter'])[1 + floor(30 * pg_temp.dice(n, 4))::int] as noun
          from generate_series(1, :rows) n) words;
alter table p add primary key (n);
analyze p;
insert into products (id, sku, name, description, price_minor, currency, category_id, weight_grams, active, created_at, updated_at)
select id, sku, name, name || repeat('. Well made, and made to last', 6), price, 'USD',
       pg_temp.id_at('category', pg_temp.moment(-2), case when n > :rows * 0.9 then 220 else 21 + floor(199 * pg_temp.dice(n, 5) ^ 2)::int end),
       50 + (n % 5000)::int, pg_temp.dice(n, 6) >= 0.03, at, at
  from p order by n;
analyze products;

-- ## users
-- They all have the password hash of the first user, which `fill.rs` created.
insert into users (id, email, password_hash, name, created_at, updated_at)
select pg_temp.id_at('user', pg_temp.moment(n / :rows.0 - 1), n), 'user' || n || '@example.com',
       (select password_hash from users where lower(email) = 'staff@bench.test'), 'User ' || n,
       pg_temp.moment(n / :rows.0 - 1), pg_temp.moment(n / :rows.0 - 1)
  from generate_series(1, :rows) n;
analyze users;

-- ## service accounts
-- A few hundred machines, each with three keys, of which one is revoked.
create temp table m on commit drop as
select n, pg_temp.id_at('machine', pg_temp.moment(n / 300.0), n) as id, pg_temp.moment(n / 300.0) as at from generate_series(1, 300) n;
insert into users (id, email, password_hash, name, kind, created_at, updated_at)
select id, 'machine' || n || '@bench.test', '', 'Machine ' || n, 'service', at, at from m;
insert into service_accounts (id, created_by)
select m.id, admin.id from m, users admin where admin.email = 'admin@bench.test';
insert into api_keys (user_id, name, prefix, hash, scopes, created_by, created_at, expires_at, revoked_at)
select m.id, 'key ' || k, 'mr_test_' || lpad((n * 3 + k)::text, 8, '0'), sha256((n * 3 + k)::text::bytea), '{orders:read}', admin.id,
       m.at, now() + interval '90 days', case k when 0 then now() end
  from m cross join generate_series(0, 2) k, users admin where admin.email = 'admin@bench.test';

-- ## customers
-- One for each user, and some that staff created with the address of a user. User 1 has five of those.
create temp table c on commit drop as
select n, pg_temp.id_at('customer', at, n) as id, at, 1 + (n - 1) % :rows as person,
       case when n <= :rows then pg_temp.id_at('user', at, n)
            when n <= :rows + 5 then pg_temp.id_at('user', pg_temp.moment(1 / :rows.0 - 1), 1) end as user_id
  from (select n, pg_temp.moment(((n - 1) % :rows + 1) / :rows.0 - 1) as at
          from generate_series(1, :rows + greatest(:rows / 20, 5)) n) t;
alter table c add primary key (n);
analyze c;
insert into customers (id, user_id, email, name, phone, addresses, created_at, updated_at)
select id, user_id, 'user' || person || '@example.com', 'User ' || person, '+1 555 ' || lpad(person::text, 7, '0'),
       jsonb_build_array(jsonb_build_object('line1', person || ' Mill Lane', 'city', 'Ithaca', 'country', 'US')), at, at
  from c order by at, n;
analyze customers;

-- ## sessions
-- Half of them have ended, most of these by the user. Each has one valid token, and every second one a used token too.
create temp table s on commit drop as
select n, pg_temp.id_at('session', at, n) as id, at,
       pg_temp.id_at('user', pg_temp.moment(user_n / :rows.0 - 1), user_n) as user_id,
       pg_temp.dice(n, 7) < 0.4 as ended
  from (select n, now() - interval '60 days' * (1 - n / :rows.0) as at, 1 + floor(:rows * pg_temp.dice(n, 8) ^ 2)::bigint as user_n
          from generate_series(1, :rows) n) t;
analyze s;
insert into sessions (id, user_id, created_at, expires_at, ended_at)
select id, user_id, at, at + interval '30 days', case when ended then least(at + interval '1 day', now()) end
  from s order by n;
analyze sessions;
insert into refresh_tokens (hash, session_id, expires_at, spent_at, spent_by, successor_sealed)
select sha256(('token' || n || '.' || generation)::bytea), id, at + interval '7 days',
       case when generation = 2 then at + interval '15 minutes' end,
       case when generation = 2 then sha256('client') end, case when generation = 2 then sha256(n::text::bytea) end
  from s cross join generate_series(1, 1 + (n % 2)::int) generation;
analyze refresh_tokens;

-- ## orders
-- Three customers place a third of all orders. Nearly all orders are delivered. Open orders are new, except for a few
-- old ones that wait for staff.
create temp table o on commit drop as
select n, pg_temp.id_at('order', at, n) as id, pg_temp.id_at('reservation', at, n) as reservation_id, at, status, stuck,
       case when status in ('pending', 'processing') then 1 + floor(:rows * pg_temp.dice(n, 10))::bigint
            when customer < 0.15 then 1 when customer < 0.27 then 2 when customer < 0.37 then 3
            -- The other customers of user 1.
            when customer < 0.372 then :rows + 1 + n % 5
            else 1 + floor(:rows * pg_temp.dice(n, 10) ^ 2)::bigint end as customer,
       case when pg_temp.dice(n, 11) < 0.6 then 1 when pg_temp.dice(n, 11) < 0.9 then 2 else 3 end as lines
  from (select n, pg_temp.dice(n, 9) as customer, n <= :rows * 0.98 as stuck,
               case when n > :rows * 0.9993 then date_trunc('milliseconds', now() - interval '14 minutes' * (:rows - n) / (:rows * 0.0007))
                    else pg_temp.moment(n / :rows.0) end as at,
               case when n > :rows * 0.9995 then 'pending'
                    when n > :rows * 0.9993 then 'processing'
                    when n > :rows * 0.997 then 'paid'
                    when n > :rows * 0.98 then 'shipped'
                    when pg_temp.dice(n, 12) < 0.0003 then 'processing'
                    when pg_temp.dice(n, 12) < 0.0004 then 'cancelling'
                    when pg_temp.dice(n, 12) < 0.03 then 'cancelled'
                    else 'delivered' end as status
          from generate_series(1, :rows) n) t;
alter table o add primary key (n);
analyze o;
-- The lines of an order have different products: each line takes from its own third of them. The first products are hot.
-- The second product was sold, and the third warehouse was open, only in the first half of the last year.
create temp table l on commit drop as
select n, line::smallint, product, 1 + floor(3 * pg_temp.dice(n, 13 + line))::int as quantity,
       -- A quarter of the products is in the second warehouse too, and another quarter in the third.
       case when pg_temp.dice(n, 20 + line) >= 0.3 then 1 when product % 4 = 0 then 2
            when product % 4 = 1 and n <= :rows / 2 then 3 else 1 end as warehouse
  from (select n, line, case when product = 2 and n > :rows / 2 then 5 else product end as product
          from (select n, line, 3 * floor(:rows / 3 * pg_temp.dice(n, 30 + line) ^ 4)::bigint + line as product
                  from o cross join generate_series(1, lines) line) t) t;
analyze l;
insert into orders (id, customer_id, placed_by, status, currency, total_minor, shipping_address, payment_token, cancel_reason,
                    event_sequence, version, created_at, updated_at)
select o.id, c.id, coalesce(c.user_id, (select id from users where lower(email) = 'staff@bench.test')), o.status, 'USD', t.total,
       jsonb_build_object('name', 'User ' || c.person, 'line1', c.person || ' Mill Lane', 'city', 'Ithaca',
                          'postal_code', '14850', 'country', 'US'),
       case when o.status = 'pending' then 'tok_ok' end,
       case when o.status = 'cancelled' and o.n % 3 = 0 then 'reservation_expired' when o.status like 'cancel%' then 'changed my mind' end,
       e.count, e.count, o.at, least(o.at + interval '2 days', now())
  from o join c on c.n = o.customer
  join (select l.n, sum(l.quantity * p.price)::bigint as total from l join p on p.n = l.product group by l.n) t on t.n = o.n
 cross join lateral (select case o.status when 'pending' then 1 when 'processing' then 2 when 'cancelled' then 2 when 'paid' then 3
                                          when 'cancelling' then 4 when 'shipped' then 4 else 5 end as count) e
 order by o.n;
analyze orders;

-- ## order items
insert into order_items (order_id, line, product_id, sku, name, quantity, unit_price_minor)
select o.id, l.line, p.id, p.sku, p.name, l.quantity, p.price
  from l join o on o.n = l.n join p on p.n = l.product order by l.n, l.line;
analyze order_items;

-- ## order events
insert into order_events (order_id, sequence, type, data, created_at)
select o.id, e.sequence, e.type,
       case when e.type = 'placed' then '{"sourcing": {"how": "one_warehouse", "considered": 3}}'::jsonb else '{}' end,
       least(o.at + (array['0', '1 second', '3 seconds', '2 hours', '2 days'])[e.sequence]::interval, now())
  from o cross join lateral unnest(case o.status
           when 'pending' then array['placed']
           when 'processing' then array['placed', 'processing']
           when 'paid' then array['placed', 'processing', 'paid']
           when 'shipped' then array['placed', 'processing', 'paid', 'shipped']
           when 'cancelling' then array['placed', 'processing', 'paid', 'cancelling']
           when 'cancelled' then array['placed', 'cancelled']
           else array['placed', 'processing', 'paid', 'shipped', 'delivered'] end) with ordinality e (type, sequence)
 order by o.n, e.sequence;

-- ## feed
insert into feed (position, subject, sequence, type, created_at)
select row_number() over (order by created_at, order_id, sequence), order_id, sequence, 'order.' || type, created_at
  from order_events;
update feed_head set position = (select max(position) from feed), seen = pg_current_snapshot();
analyze feed;

-- ## webhooks
-- One endpoint gets every event of the last months. A hundredth of them failed, a hundredth waits.
insert into webhook_endpoints (id, url, types, after_position, created_by, created_by_name)
select pg_temp.id_at('webhook', now() - interval '1 year', 1), 'https://erp.example/hooks', '{*}',
       (select max(position) - :rows from feed), id, name
  from users where email = 'staff@bench.test';
insert into webhook_bodies (position, body, created_at)
select position, format('{"id": "evt_%s_%s", "type": "%s", "data": {}}', subject, sequence, type), created_at
  from feed where position > (select max(position) - :rows from feed);
insert into webhook_deliveries (endpoint_id, position, subject, sequence, type, at, shard, state, attempts, used, next_attempt_at,
                                delivered_at, ended_at, created_at)
select endpoint.id, position, subject, sequence, type, f.created_at, position % 4,
       sent.state, sent.attempts, sent.attempts, f.created_at,
       case sent.state when 'delivered' then f.created_at end, case when sent.state <> 'pending' then f.created_at end, f.created_at
  from webhook_endpoints endpoint
  join feed f on f.position > endpoint.after_position
 cross join lateral (
       select case position % 100 when 0 then 'failed' when 1 then 'pending' else 'delivered' end as state,
              case position % 100 when 0 then 10 when 1 then 2 else 1 end as attempts) sent
 order by position;
insert into webhook_attempts (endpoint_id, position, attempt, at, status, ms, response)
select endpoint_id, position, attempt, created_at, case when state = 'delivered' then 200 else 500 end, 40, 'hello'
  from webhook_deliveries cross join lateral generate_series(1, attempts) attempt
 order by position, attempt;
insert into webhook_pumps (endpoint_id, shard) select id, shard from webhook_endpoints, generate_series(0, 3) shard;
update webhook_head set position = (select max(position) from feed);

-- ## charges
-- Our charges, and the charges of the provider.
insert into charges (id, order_id, amount_minor, currency, state, created_at, updated_at)
select pg_temp.id_at('charge', o.at, o.n), o.id, orders.total_minor, 'USD',
       case o.status when 'processing' then 'started' else 'charged' end, o.at, o.at
  from o join orders on orders.id = o.id
 where o.status in ('processing', 'paid', 'shipped', 'delivered', 'cancelling') order by o.n;
insert into simulated_charges (key, amount_minor, currency, state, created_at)
select id, amount_minor, currency, 'charged', created_at from charges where state = 'charged';

-- ## shipments
insert into shipments (id, order_id, warehouse_id, state, tracking_number, shipped_at, delivered_at, created_at)
select pg_temp.id_at('shipment', o.at, o.n * 4 + l.warehouse), o.id,
       pg_temp.id_at('warehouse', pg_temp.moment(-2), l.warehouse), o.status, 'TRACK-' || o.n || '-' || l.warehouse,
       least(o.at + interval '2 hours', now()), case o.status when 'delivered' then least(o.at + interval '2 days', now()) end, o.at
  from o join (select distinct n, warehouse from l) l on l.n = o.n
 where o.status in ('shipped', 'delivered') order by o.n;
insert into simulated_bookings (key, tracking_number, created_at) select id, tracking_number, created_at from shipments;

-- ## inventory
-- The reserved units are those of open orders. A fiftieth of the rows has low stock.
create temp table i on commit drop as
select p.n, w.warehouse, p.id as product_id, pg_temp.id_at('warehouse', pg_temp.moment(-2), w.warehouse) as warehouse_id, p.at,
       coalesce(d.live, 0) as reserved, coalesce(d.shipped, 0) as shipped,
       case when pg_temp.dice(p.n, 50 + w.warehouse) < 0.02 then floor(11 * pg_temp.dice(p.n, 60 + w.warehouse))::int
            else 11 + floor(500 * pg_temp.dice(p.n, 60 + w.warehouse))::int end as available
  from p
 cross join lateral unnest(case p.n % 4 when 0 then array[1, 2] when 1 then array[1, 3] else array[1] end) w (warehouse)
  left join (select l.product, l.warehouse,
                    (sum(l.quantity) filter (where o.status in ('pending', 'processing', 'paid', 'cancelling')))::int as live,
                    (sum(l.quantity) filter (where o.status in ('shipped', 'delivered')))::int as shipped
               from l join o on o.n = l.n group by l.product, l.warehouse) d
    on d.product = p.n and d.warehouse = w.warehouse;
analyze i;
insert into inventory (id, product_id, warehouse_id, on_hand, reserved, reorder_level, reorder_quantity, restocked_at, created_at, updated_at)
select pg_temp.id_at('inventory', at, n * 4 + warehouse), product_id, warehouse_id, available + reserved, reserved, 10, 100, at, at, now()
  from i order by n, warehouse;
analyze inventory;

-- ## reservations
insert into reservations (id, order_id, state, expires_at, created_by, created_at, updated_at)
select o.reservation_id, o.id,
       case when o.status in ('pending', 'processing') then 'held' when o.status in ('paid', 'cancelling') then 'posted'
            when o.status in ('shipped', 'delivered') then 'shipped' when o.n % 3 = 0 then 'expired' else 'released' end,
       o.at + interval '15 minutes', orders.placed_by, o.at, least(o.at + interval '2 days', now())
  from o join orders on orders.id = o.id order by o.n;
analyze reservations;
insert into reservation_lines (reservation_id, product_id, warehouse_id, quantity)
select o.reservation_id, p.id, pg_temp.id_at('warehouse', pg_temp.moment(-2), l.warehouse), l.quantity
  from l join o on o.n = l.n join p on p.n = l.product order by l.n, l.line;
analyze reservation_lines;

-- ## stock movements
insert into stock_movements (id, product_id, warehouse_id, on_hand_delta, reserved_delta, reason, actor_id, order_id, reservation_id, created_at)
select pg_temp.id_at(m.reason, m.at, m.n), m.product_id, m.warehouse_id, m.on_hand, m.reserved, m.reason, m.actor_id,
       m.order_id, m.reservation_id, m.at
  from (select n * 4 + warehouse as n, product_id, warehouse_id, available + reserved + shipped as on_hand, 0 as reserved,
               'received' as reason, (select id from users where lower(email) = 'staff@bench.test') as actor_id,
               null::uuid as order_id, null::uuid as reservation_id, at
          from i where available + reserved + shipped > 0
        union all
        select l.n * 4 + l.line, p.id, pg_temp.id_at('warehouse', pg_temp.moment(-2), l.warehouse), 0, l.quantity,
               'reserved', c.user_id, o.id, o.reservation_id, o.at
          from l join o on o.n = l.n join p on p.n = l.product join c on c.n = o.customer
        union all
        select l.n * 4 + l.line, p.id, pg_temp.id_at('warehouse', pg_temp.moment(-2), l.warehouse),
               case when o.status = 'cancelled' then 0 else -l.quantity end, -l.quantity,
               case when o.status <> 'cancelled' then 'shipped' when o.n % 3 = 0 then 'expired' else 'released' end,
               null, o.id, o.reservation_id, least(o.at + interval '2 hours', date_trunc('milliseconds', now()))
          from l join o on o.n = l.n join p on p.n = l.product
         where o.status in ('shipped', 'delivered', 'cancelled')) m
 order by m.at;
analyze stock_movements;

-- ## jobs
insert into jobs (id, queue, kind, args, state, run_at, attempt, max_attempt, order_id, created_at, finished_at, error, error_fingerprint)
select pg_temp.id_at(kind, at, n), queue::queue, kind, jsonb_build_object('order_id', id), state, run_at,
       case state when 'done' then 1 when 'dead' then 8 else 0 end, 8, id, at, case when state in ('done', 'dead') then run_at end,
       case state when 'dead' then 'the provider is unavailable' end, case state when 'dead' then 'provider_unavailable' end
  from (select n, id, at, 'process_payment' as kind, 'high' as queue, at as run_at,
               case when status = 'pending' then 'ready' when status = 'processing' and not stuck then 'ready'
                    when status = 'processing' then 'dead' else 'done' end as state
          from o
        union all
        select n, id, at, 'ship_order', 'default', at, 'ready' from o where status = 'paid'
        union all
        select n, id, at, 'deliver_order', 'low', now() + interval '1 day' * pg_temp.dice(n, 70), 'ready' from o where status = 'shipped'
        union all
        select n, id, at, 'cancel_order', 'high', at, 'dead' from o where status = 'cancelling') j
 order by at;
analyze jobs;
insert into job_attempts (job_id, attempt, started_at, ended_at, outcome, error, fingerprint)
select id, attempt, run_at + interval '1 minute' * attempt, run_at + interval '1 minute' * attempt, 'transient', error, error_fingerprint
  from (select id, run_at, error, error_fingerprint from jobs where state = 'dead') dead cross join generate_series(1, 8) attempt;

-- ## audit
-- One run of the audit. The part "books" below checks its result.
insert into audit_runs (violations, invariants) values (0, '[]');

-- ## actions
-- A sign-in for every tenth order, and one finished action on many jobs.
insert into actions (id, at, actor_id, actor_name, action, subject_type, subject_id, data)
select pg_temp.id_at('action', at, n), at, u, 'User ' || n % 1000, 'sign_in', 'user', u, '{}'
  from (select n, at, pg_temp.id_at('user', pg_temp.moment((1 + n % 1000) / :rows.0 - 1), 1 + n % 1000) as u
          from o where n % 10 = 0) signed_in
 order by at;
analyze actions;
insert into bulk_actions (action, filter, upto, state, total, done, actor_id, actor_name)
values ('retry', '{}', uuidv7(), 'done', 10, 10, pg_temp.id_at('user', pg_temp.moment(1 / :rows.0 - 1), 1), 'User 1');

-- ## idempotency keys
insert into idempotency_keys (caller_id, key, body_hash, resource, created_at)
select pg_temp.id_at('user', pg_temp.moment(1 / :rows.0 - 1), n % 1000), 'order-' || n, sha256(n::text::bytea), id,
       now() - interval '24 hours' * (1 - n / :rows.0)
  from o order by n;
analyze idempotency_keys;

-- ## books
-- Checks the sums. An imbalance ends the fill by a division by zero.
select 1 / (count(*) = 0)::int as "rows of stock are the sums of their movements"
  from inventory i
  left join (select product_id, warehouse_id, sum(on_hand_delta) as on_hand, sum(reserved_delta) as reserved
               from stock_movements group by 1, 2) m using (product_id, warehouse_id)
 where (i.on_hand, i.reserved) is distinct from (coalesce(m.on_hand, 0), coalesce(m.reserved, 0));
select 1 / (count(*) = 0)::int as "what is reserved is what live reservations hold"
  from inventory i
  left join (select l.product_id, l.warehouse_id, sum(l.quantity) as quantity
               from reservations r join reservation_lines l on l.reservation_id = r.id
              where r.state in ('held', 'posted') group by 1, 2) r using (product_id, warehouse_id)
 where i.reserved <> coalesce(r.quantity, 0);
select 1 / (count(*) = 0)::int as "totals are the sums of their items"
  from orders o
  join (select order_id, sum(quantity * unit_price_minor) as total from order_items group by 1) i on i.order_id = o.id
 where o.total_minor <> i.total;
