-- The full audits that people have started. One whose result is not in audit_runs under the same id is running, or its
-- process has died: the advisory lock that it holds tells which.
create table audit_starts (
    id         uuid primary key,
    started_at timestamptz not null default clock_timestamp()
);
