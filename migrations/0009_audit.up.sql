create table audit_runs (
    id         uuid primary key default uuidv7(),
    ran_at     timestamptz not null default clock_timestamp(),
    violations int not null,
    invariants jsonb not null
);
