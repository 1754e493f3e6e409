-- The feed: every event of orders, products, stock and webhooks in one order, without gaps.
--
-- A writer notes the transaction that wrote an event. The sequencer numbers the events that have become visible since
-- its last pass. So no writer waits for another, and an event that commits late gets a later number.
alter table order_events add xact xid8;
alter table order_events alter xact set default pg_current_xact_id();

-- Events that belong to no order: `product.*`, `stock.*`, `webhook.*`.
create table entity_events (
    subject    uuid not null,
    -- From 1 for each subject, without gaps: a writer holds the subject's row locked and takes the next number. So the
    -- last event of a subject is never removed.
    sequence   int not null check (sequence > 0),
    type       text not null,
    data       jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    xact       xid8 default pg_current_xact_id(),
    primary key (subject, sequence)
);
create index entity_events_xact on entity_events (xact) where xact is not null;

-- The number of each event. What it says stays in the timeline, or in `entity_events`.
create table feed (
    position   bigint primary key,
    subject    uuid not null,
    sequence   int not null,
    -- As readers see it: `order.placed`.
    type       text not null,
    -- When it happened, and when it got its number. The second decides how long it is kept.
    created_at timestamptz not null,
    fed_at     timestamptz not null default clock_timestamp(),
    constraint feed_subject_sequence_key unique (subject, sequence)
);

-- How far the sequencer is. A position is `(timeline + shift) << 40 | n`: after a promotion that lost commits, new
-- positions are above all that a reader may have seen.
create table feed_head (
    only_one      boolean primary key default true check (only_one),
    position      bigint not null,
    -- What was visible in the last pass.
    seen          pg_snapshot not null,
    -- The cluster and the database that `seen` is about. A restored dump brings another cluster's.
    system        bigint,
    database      oid,
    shift         bigint not null default 0,
    -- The last position that was removed, and when that event was numbered.
    removed_to    bigint not null default 0,
    removed_until timestamptz
);
insert into feed_head (position, seen) values (0, pg_current_snapshot());
