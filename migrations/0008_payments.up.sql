-- The effect ledger: a row exists before the provider is called, and its id is the provider's idempotency
-- key over all attempts.
create table charges (
    id           uuid primary key default uuidv7(),
    order_id     uuid not null references orders,
    amount_minor bigint not null check (amount_minor >= 0),
    currency     text not null,
    -- voided: closed before anything was taken.
    state        text not null default 'started' check (state in ('started', 'charged', 'declined', 'refunded', 'voided')),
    -- Written by staff, for money that came another way; the provider knows nothing of it.
    manual       boolean not null default false,
    reason       text,
    created_at   timestamptz not null default clock_timestamp(),
    updated_at   timestamptz not null default clock_timestamp(),
    -- One of each kind: a provider that never answered stands beside the money that staff took instead.
    constraint charges_order_manual_key unique (order_id, manual)
);

-- One for each warehouse that an order leaves from.
create table shipments (
    id              uuid primary key default uuidv7(),
    order_id        uuid not null references orders,
    warehouse_id    uuid not null references warehouses,
    state           text not null default 'booking' check (state in ('booking', 'shipped', 'delivered')),
    tracking_number text,
    shipped_at      timestamptz,
    delivered_at    timestamptz,
    created_at      timestamptz not null default clock_timestamp(),
    constraint shipments_order_warehouse_key unique (order_id, warehouse_id),
    check ((state = 'booking') = (shipped_at is null))
);

-- The simulated provider's and carrier's own books. Millrace reads them in the audit only: a charge that
-- was made twice must be seen even if our own ledger knows of one.
create schema simulated;
create table simulated.charges (
    key          uuid primary key,
    -- Null for a key that was closed before it was ever charged.
    amount_minor bigint,
    currency     text,
    -- closed: voided before it was charged; a late charge is refused.
    state        text not null check (state in ('charged', 'declined', 'refunded', 'closed')),
    -- Why it was declined.
    reason       text,
    created_at   timestamptz not null default clock_timestamp()
);
-- How often each key was asked for and failed by script.
create table simulated.attempts (
    key   uuid primary key,
    count int not null
);
create table simulated.bookings (
    key             uuid primary key,
    tracking_number text not null unique,
    created_at      timestamptz not null default clock_timestamp()
);
