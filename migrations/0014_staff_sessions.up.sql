-- Where a session is used from, and when its user last gave the password.
alter table sessions
    -- safe: reading the sessions of at most 30 days takes less than a second
    add column surface text not null default 'api' check (surface in ('api', 'console', 'shop')),
    add column address inet,
    -- safe: it is read together with the column above
    add column user_agent text check (length(user_agent) <= 300),
    -- Written at most once a minute.
    add column last_seen_at timestamptz not null default now(),
    -- Null: when the session began (a session of the release before).
    add column password_at timestamptz;

-- Is this session good for its user? Staff sessions end sooner, also those that began before their user became staff.
create function session_is_live(session sessions, role text, staff_max_age double precision, staff_idle double precision)
returns boolean language sql as $$
    select session.ended_at is null and session.expires_at > clock_timestamp()
       and (role = 'customer'
            or (session.created_at > clock_timestamp() - make_interval(secs => staff_max_age)
                and session.last_seen_at > clock_timestamp() - make_interval(secs => staff_idle)))
$$;

-- The second factor of a user (RFC 6238).
create table totp (
    user_id      uuid primary key references users,
    secret       bytea not null,
    -- Null until the user has shown a code of it; until then it does not count.
    confirmed_at timestamptz,
    -- The time step of the last code that was used: neither it nor an earlier one is good again.
    last_step    bigint not null default 0,
    created_at   timestamptz not null default clock_timestamp()
);

-- Codes that stand in for a code of the second factor, once each. Only hashes are kept.
create table recovery_codes (
    user_id uuid not null references users,
    hash    bytea not null,
    used_at timestamptz,
    primary key (user_id, hash)
);

-- A link by which a user whom an administrator made chooses their password. Only its hash is kept, and it works once.
create table invites (
    user_id    uuid primary key references users,
    hash       bytea not null unique,
    expires_at timestamptz not null
);
