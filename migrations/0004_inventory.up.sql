create table warehouses (
    id         uuid primary key default uuidv7(),
    code       text not null constraint warehouses_code_key unique check (length(code) between 1 and 32),
    name       text not null check (length(name) between 1 and 200),
    -- The smaller number is asked first.
    priority   int not null default 100,
    active     boolean not null default true,
    version    int not null default 1,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);

-- The row that a sale locks. It is updated on every sale, so it has room for HOT updates, and no index
-- covers a column that a sale changes, but for the ones that find low stock.
create table inventory (
    id               uuid primary key default uuidv7(),
    product_id       uuid not null constraint inventory_product_id_fkey references products,
    warehouse_id     uuid not null constraint inventory_warehouse_id_fkey references warehouses,
    on_hand          int not null,
    reserved         int not null default 0,
    reorder_level    int not null default 0 check (reorder_level >= 0),
    reorder_quantity int not null default 0 check (reorder_quantity >= 0),
    restocked_at     timestamptz,
    -- How far below its reorder level the row is, as a number from 0 down; null while there is enough. An index
    -- on on_hand and reserved themselves (also one that is partial) would make every sale write to every
    -- index of the table; this one leaves a sale HOT as long as the row was not low and does not become it.
    shortfall        int generated always as (
                         case when on_hand - reserved <= reorder_level then on_hand - reserved - reorder_level end
                     ) stored,
    -- Counts what people edit (the reorder settings): a sale must not make their copy stale.
    version          int not null default 1,
    created_at       timestamptz not null default clock_timestamp(),
    updated_at       timestamptz not null default clock_timestamp(),
    constraint inventory_product_warehouse_key unique (product_id, warehouse_id),
    -- The first promise, kept by the database itself.
    constraint inventory_never_oversold check (0 <= reserved and reserved <= on_hand)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
create index inventory_warehouse_id on inventory (warehouse_id, id);
create index inventory_low on inventory (shortfall, id) where shortfall is not null;
create index inventory_low_id on inventory (id) where shortfall is not null;

-- A two-phase entry: held -> posted -> shipped, or -> released / expired. It moves once along each edge.
create table reservations (
    id         uuid primary key default uuidv7(),
    order_id   uuid constraint reservations_order_id_key unique,
    state      text not null default 'held' check (state in ('held', 'posted', 'shipped', 'released', 'expired')),
    expires_at timestamptz not null,
    created_by uuid not null references users,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
) with (fillfactor = 85);
create index reservations_overdue on reservations (expires_at, id) where state = 'held';

create table reservation_lines (
    reservation_id uuid not null references reservations,
    product_id     uuid not null,
    warehouse_id   uuid not null,
    quantity       int not null check (quantity > 0),
    primary key (reservation_id, product_id, warehouse_id),
    foreign key (product_id, warehouse_id) references inventory (product_id, warehouse_id)
);

-- The ledger. The sums of a row's movements are the row.
create table stock_movements (
    id             uuid primary key default uuidv7(),
    product_id     uuid not null,
    warehouse_id   uuid not null,
    on_hand_delta  int not null default 0,
    reserved_delta int not null default 0,
    reason         text not null check (reason in ('received', 'damaged', 'counted', 'returned', 'other',
                                                   'reserved', 'released', 'expired', 'shipped')),
    note           text check (length(note) <= 1000),
    -- Null: the system itself (the reaper).
    actor_id       uuid,
    order_id       uuid,
    reservation_id uuid,
    created_at     timestamptz not null default clock_timestamp(),
    check (on_hand_delta <> 0 or reserved_delta <> 0),
    foreign key (product_id, warehouse_id) references inventory (product_id, warehouse_id)
);
create index stock_movements_row on stock_movements (product_id, warehouse_id, id);
create index stock_movements_product on stock_movements (product_id, id);
create index stock_movements_warehouse on stock_movements (warehouse_id, id);
create index stock_movements_order on stock_movements (order_id, id) where order_id is not null;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: a correction is a new row', tg_table_name;
end $$;
create trigger append_only before update or delete or truncate on stock_movements
    for each statement execute function refuse_change();
