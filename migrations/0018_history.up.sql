-- Statistics over time: what workers did, what waited in the queues, what was ordered. Prometheus is not needed for them.
-- Each table keeps steps of 10 s, of a minute and of an hour; retention adds up the shorter ones and removes old rows.

-- Adds two arrays element by element. The longer one keeps its rest: a later version may have more buckets.
create function add_arrays(bigint[], bigint[]) returns bigint[] language sql immutable parallel safe as $$
    select array_agg(coalesce(a, 0) + coalesce(b, 0) order by n) from unnest($1, $2) with ordinality t (a, b, n)
$$;
create aggregate sum_arrays(bigint[]) (sfunc = add_arrays, stype = bigint[], initcond = '{}', parallel = safe);

-- Attempts that ended.
create table job_history (
    -- Seconds: 10, 60 or 3600.
    step    int not null,
    at      timestamptz not null,
    queue   queue not null,
    kind    text not null,
    outcome text not null,
    count   bigint not null,
    -- How many attempts ran, and had waited, as long as each bucket says; the last one has no upper bound.
    ran     bigint[] not null,
    waited  bigint[] not null,
    primary key (step, at, queue, kind, outcome)
);

-- What the queues held.
create table queue_history (
    step           int not null,
    at             timestamptz not null,
    queue          queue not null,
    ready          bigint not null,
    scheduled      bigint not null,
    running        bigint not null,
    dead           bigint not null,
    oldest_seconds bigint not null,
    paused         boolean not null,
    primary key (step, at, queue)
);

-- Orders that were placed.
create table shop_history (
    step     int not null,
    at       timestamptz not null,
    currency text not null,
    placed   bigint not null,
    value    bigint not null,
    primary key (step, at, currency)
);
