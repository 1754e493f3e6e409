-- Lists of the console as somebody likes to see them: a name, and the address with its filters.
create table saved_views (
    id         uuid primary key,
    user_id    uuid not null references users,
    name       text not null,
    path       text not null,
    created_at timestamptz not null default clock_timestamp(),
    unique (user_id, name)
);
