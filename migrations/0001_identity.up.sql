-- Time-ordered ids for rows that SQL itself makes (Rust makes the same kind). Postgres 18 brings its own.
create function uuidv7() returns uuid language sql volatile parallel safe as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                    from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;

create table users (
    id            uuid primary key default uuidv7(),
    email         text not null check (length(email) <= 254),
    password_hash text not null,
    name          text not null check (length(name) between 1 and 200),
    role          text not null default 'customer' check (role in ('customer', 'staff', 'admin')),
    active        boolean not null default true,
    version       int not null default 1,
    created_at    timestamptz not null default clock_timestamp(),
    updated_at    timestamptz not null default clock_timestamp()
);
-- One account per address, whatever the case it is typed in.
create unique index users_email_key on users (lower(email));
-- "Is there another administrator?" is asked before one is demoted.
create index users_admins on users (id) where role = 'admin' and active;

-- A session is a family of refresh tokens: it begins with a login and ends as a whole.
create table sessions (
    id         uuid primary key default uuidv7(),
    user_id    uuid not null references users,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    ended_at   timestamptz
);
create index sessions_user_id on sessions (user_id) where ended_at is null;
create index sessions_expires_at on sessions (expires_at);

-- Only hashes are kept. `successor_sealed` is the next token, readable only with the spent one itself:
-- who lost the answer to a refresh asks again and gets the same successor.
create table refresh_tokens (
    hash             bytea primary key,
    session_id       uuid not null references sessions on delete cascade,
    expires_at       timestamptz not null,
    spent_at         timestamptz,
    spent_by         bytea,
    successor_sealed bytea,
    check ((spent_at is null) = (successor_sealed is null))
);
create index refresh_tokens_session_id on refresh_tokens (session_id);
