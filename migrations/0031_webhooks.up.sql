-- Webhooks: endpoints that get events, what each of them gets, and how the attempts to deliver it ended.

create table webhook_endpoints (
    id              uuid primary key,
    url             text not null,
    description     text,
    -- Exact names, `order.*`, or `*`.
    types           text[] not null,
    max_per_second  int check (max_per_second > 0),
    state           text not null default 'enabled' check (state in ('enabled', 'paused', 'disabled')),
    disabled_reason text check (disabled_reason in ('gone', 'failing')),
    -- Secrets are derived from this number. None is stored.
    secret_number   int not null default 1,
    -- Until then the secret before also signs.
    previous_until  timestamptz,
    -- It gets events after this position of the feed.
    after_position  bigint not null,
    -- Failures in a row, over all subjects.
    failures        int not null default 0,
    -- Since then it is only probed.
    failing_since   timestamptz,
    probes          int not null default 0,
    probe_at        timestamptz,
    -- The delivery that the last probe tried. The next probe tries that of another subject.
    probed_position bigint not null default 0,
    last_success_at timestamptz,
    -- With `max_per_second`: when the next attempt may begin.
    next_send_at    timestamptz not null default clock_timestamp(),
    created_by      uuid not null,
    created_by_name text not null,
    version         int not null default 1,
    created_at      timestamptz not null default clock_timestamp(),
    updated_at      timestamptz not null default clock_timestamp(),
    -- Its rows are removed in steps, because there may be millions.
    deleted_at      timestamptz,
    check ((state = 'disabled') = (disabled_reason is not null)),
    check ((failing_since is null) = (probe_at is null))
);

-- What is sent, once for all endpoints: each attempt sends the same bytes.
create table webhook_bodies (
    position   bigint primary key,
    body       text not null,
    created_at timestamptz not null default clock_timestamp()
);
create index webhook_bodies_created_at on webhook_bodies (created_at);

create table webhook_deliveries (
    endpoint_id     uuid not null references webhook_endpoints on delete cascade,
    position        bigint not null references webhook_bodies,
    subject         uuid not null,
    sequence        int not null,
    type            text not null,
    -- When it happened.
    at              timestamptz not null,
    -- From the subject. Each shard of an endpoint has its own job, so one subject is in one job.
    shard           smallint not null,
    -- `pending` is shown as `held` while the endpoint is not enabled.
    state           text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
    -- All attempts, and those that count against the ten.
    attempts        int not null default 0,
    used            int not null default 0,
    -- A delivery also waits for the earlier ones of its subject.
    next_attempt_at timestamptz not null,
    delivered_at    timestamptz,
    ended_at        timestamptz,
    replayed        boolean not null default false,
    created_at      timestamptz not null default clock_timestamp(),
    primary key (endpoint_id, position),
    constraint webhook_deliveries_event_key unique (endpoint_id, subject, sequence)
);
create index webhook_deliveries_due on webhook_deliveries (endpoint_id, shard, next_attempt_at, position) where state = 'pending';
create index webhook_deliveries_waiting on webhook_deliveries (endpoint_id, subject, sequence) where state = 'pending';
create index webhook_deliveries_open on webhook_deliveries (endpoint_id, state, position) where state <> 'delivered';
create index webhook_deliveries_type on webhook_deliveries (endpoint_id, type, position);
create index webhook_deliveries_position on webhook_deliveries (position);
create index webhook_deliveries_ended on webhook_deliveries (ended_at) where state <> 'pending';

create table webhook_attempts (
    endpoint_id uuid not null,
    position    bigint not null,
    attempt     int not null,
    at          timestamptz not null,
    status      int,
    ms          int not null,
    error       text,
    -- The first KiB of the answer. For persons only.
    response    text,
    primary key (endpoint_id, position, attempt),
    foreign key (endpoint_id, position) references webhook_deliveries on delete cascade
);

-- One row for each shard of an endpoint: which job delivers it, and when.
create table webhook_pumps (
    endpoint_id uuid not null references webhook_endpoints on delete cascade,
    shard       smallint not null,
    -- The number of its job. A job with a lower number is stale and does nothing.
    turn        bigint not null default 0,
    -- When that job is due. Null: there is nothing to do, and no job.
    due_at      timestamptz,
    primary key (endpoint_id, shard)
);

-- Up to which position of the feed deliveries were written.
create table webhook_head (
    only_one boolean primary key default true check (only_one),
    position bigint not null
);
insert into webhook_head (position) values (0);

-- Replays that are under way. Each job takes the next step.
create table webhook_replays (
    id             uuid primary key,
    endpoint_id    uuid not null references webhook_endpoints on delete cascade,
    types          text[] not null,
    only_failed    boolean not null,
    after_position bigint not null,
    upto_position  bigint not null,
    from_time      timestamptz,
    upto_time      timestamptz,
    created_at     timestamptz not null default clock_timestamp()
);
create index webhook_replays_endpoint on webhook_replays (endpoint_id);
