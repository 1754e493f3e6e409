-- The last failure stands with the job, so that those that fail can be listed by what goes wrong.
alter table jobs add column error text, add column error_fingerprint text;
create index jobs_by_error on jobs (error_fingerprint, id) where error_fingerprint is not null;
create index jobs_discarded on jobs (id) where state = 'discarded';
create index jobs_done on jobs (finished_at) where state in ('done', 'discarded');

-- Every attempt that failed, and why.
create table job_attempts (
    job_id      uuid not null references jobs on delete cascade,
    attempt     int not null,
    worker      uuid,
    -- Kept here, since workers are forgotten.
    host        text,
    started_at  timestamptz,
    ended_at    timestamptz not null default clock_timestamp(),
    outcome     text not null check (outcome in ('transient', 'permanent', 'lease_lost')),
    error       text not null,
    fingerprint text not null,
    primary key (job_id, attempt)
);

alter table jobs add column started_at timestamptz;

create table queues (
    name   queue primary key,
    paused boolean not null default false,
    changed_at timestamptz not null default clock_timestamp()
);
insert into queues (name) values ('high'), ('default'), ('low');

-- Who is alive. A worker that has not been heard of for a while is removed.
create table workers (
    id           uuid primary key,
    host         text not null,
    pid          int not null,
    version      text not null,
    queues       queue[] not null,
    -- Each as kind/version: what this binary can carry out.
    kinds        text[] not null,
    running      int not null default 0,
    started_at   timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp()
);

-- What runs by the clock, and when it last did so successfully.
create table clockwork (
    name            text primary key,
    last_success_at timestamptz not null
);
