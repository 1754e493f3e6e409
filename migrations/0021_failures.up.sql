-- Dead jobs by their error: one look-up finds the next error, however many jobs died of the last one.
-- safe: only dead jobs are in it, and reading the jobs of the last hour takes less than a second
create index jobs_dead_by_error on jobs (error_fingerprint, kind, id) where state = 'dead';

-- Which action on many took a job. A job that dies again is then not taken a second time.
alter table jobs
    -- safe: an empty column is added without touching the rows
    add column bulk_id uuid;
-- safe: no row has a value yet
create index jobs_of_bulk on jobs (bulk_id, id) where bulk_id is not null;

-- What staff do to many jobs or orders at once, in steps.
create table bulk_actions (
    id         uuid primary key default uuidv7(),
    action     text not null check (action in ('retry', 'discard', 'cancel_orders')),
    filter     jsonb not null,
    -- A canary is asked for and has not passed yet: who stops and continues the action gets it again.
    untried    boolean not null default false,
    -- Nothing that is newer than this is taken.
    upto       uuid not null,
    state      text not null check (state in ('canary', 'halted', 'running', 'stopped', 'done')),
    total      bigint not null,
    done       bigint not null default 0,
    refused    bigint not null default 0,
    -- An action goes through the jobs or orders by their ids, and has come so far.
    position   uuid,
    canary     uuid,
    error      text,
    reason     text,
    actor_id   uuid not null,
    actor_name text not null,
    request_id text,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);
