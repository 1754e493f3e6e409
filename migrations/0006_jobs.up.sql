create type queue as enum ('high', 'default', 'low');

-- The truth about every job; Redis is only told which are ready.
create table jobs (
    id           uuid primary key default uuidv7(),
    queue        queue not null,
    kind         text not null,
    version      smallint not null default 1,
    args         jsonb not null,
    state        text not null default 'ready' check (state in ('ready', 'running', 'done', 'dead', 'discarded')),
    run_at       timestamptz not null default clock_timestamp(),
    -- Only ever grows: it is the fence that keeps a zombie from committing.
    attempt      int not null default 0,
    max_attempt  int not null,
    lease_until  timestamptz,
    worker       uuid,
    order_id     uuid,
    -- At most one job for what this names, such as a tick of the clock.
    unique_key   text constraint jobs_unique_key unique,
    request_id   text,
    trace_parent text,
    created_at   timestamptz not null default clock_timestamp(),
    finished_at  timestamptz,
    -- Nothing runs without a lease.
    check ((state = 'running') = (lease_until is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
-- Only live states are indexed, and which order a job is for: what is done costs little more than its row, until
-- retention removes it.
create index jobs_ready on jobs (queue, run_at, id) where state = 'ready';
create index jobs_leases on jobs (lease_until) where state = 'running';
create index jobs_dead on jobs (id, queue) where state = 'dead';
create index jobs_of_order on jobs (order_id, id) where order_id is not null;
