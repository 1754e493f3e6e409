-- Who orders. A user has one made at registration, and may be linked to others by staff.
create table customers (
    id         uuid primary key default uuidv7(),
    user_id    uuid references users,
    email      text not null check (length(email) <= 254),
    name       text not null check (length(name) between 1 and 200),
    phone      text check (length(phone) <= 40),
    addresses  jsonb not null default '[]',
    version    int not null default 1,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);
create index customers_user_id on customers (user_id, id) where user_id is not null;
create index customers_email on customers (lower(email), id);
