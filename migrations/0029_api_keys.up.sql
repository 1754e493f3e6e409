-- Service accounts and their API keys. A service account is a user without a password, so that whatever names a user
-- (actors, idempotency keys, placed_by) names it too. Its e-mail address is made up and belongs to nobody; its role is the
-- least, so that processes of the release before give it no rights.
-- safe: all rows have the default, so the check reads a table that is small, under a lock of milliseconds
alter table users add column kind text not null default 'person' check (kind in ('person', 'service'));

create table service_accounts (
    id          uuid primary key references users,
    description text not null default '',
    created_by  uuid not null references users
);

create table api_keys (
    id               uuid primary key default uuidv7(),
    user_id          uuid not null references users,
    name             text not null check (length(name) between 1 and 200),
    -- The part of the key that may be shown: it finds the row.
    prefix           text not null unique check (prefix ~ '^mr_(live|test)_[0-9A-Za-z]{8}$'),
    -- SHA-256 of the whole key. Its secret part has 190 random bits, so no salt and no slow hash are needed.
    hash             bytea not null check (length(hash) = 32),
    scopes           text[] not null check (cardinality(scopes) > 0),
    -- Addresses and networks, as they were given; none: any address.
    allowed_ips      text[] not null default '{}' check (cardinality(allowed_ips) <= 20),
    limit_per_minute int check (limit_per_minute between 1 and 100000),
    version          int not null default 1,
    created_by       uuid not null references users,
    created_at       timestamptz not null default clock_timestamp(),
    expires_at       timestamptz not null,
    revoked_at       timestamptz,
    replaced_by      uuid references api_keys,
    -- The last request, to the minute.
    last_used_at     timestamptz,
    last_used_ip     inet
);
create index api_keys_user_id on api_keys (user_id);
create index api_keys_usable on api_keys (expires_at) where revoked_at is null;

create function api_key_state(key api_keys) returns text language sql as $$
    select case when key.revoked_at is not null then 'revoked'
                when key.expires_at <= clock_timestamp() then 'expired'
                when key.replaced_by is not null then 'replaced'
                else 'active' end
$$;
