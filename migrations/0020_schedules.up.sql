-- What workers run by the clock, as they themselves say, so that the API can show it.
create table schedules (
    name      text primary key,
    -- What it does, in a sentence.
    what      text not null,
    -- Cron, with seconds first.
    schedule  text not null,
    -- The last tick; null until the first one.
    ticked_at timestamptz,
    next_at   timestamptz not null
);
