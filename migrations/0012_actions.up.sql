-- Everything that is done by hand, and every sign-in, one row each, written in the transaction of what was done.
-- Rows are only ever added.
create table actions (
    id           uuid primary key default uuidv7(),
    at           timestamptz not null default clock_timestamp(),
    -- Null where nobody is known: a sign-in with an unknown address. No foreign key: service accounts act too.
    actor_id     uuid,
    actor_name   text,
    action       text not null,
    subject_type text not null,
    subject_id   text not null,
    reason       text,
    data         jsonb not null default '{}',
    request_id   text,
    address      inet
);

create index on actions (actor_id, id) where actor_id is not null;
create index on actions (subject_id, id);
create index on actions (action, id);

create trigger append_only before update or delete or truncate on actions
    for each statement execute function refuse_change();
