-- What the audit found, run by run.
create table audit_runs (
    id         uuid primary key default uuidv7(),
    ran_at     timestamptz not null default clock_timestamp(),
    violations int not null,
    invariants jsonb not null,
    -- Per invariant the keys of everything that looked wrong: what the next run sees again is a violation.
    suspects   jsonb not null default '{}'
);
create index audit_runs_ran_at on audit_runs (ran_at);
