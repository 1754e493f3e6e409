-- Sessions of browsers. The cookie carries 32 random bytes; only their SHA-256 is kept. Null for a session of tokens.
alter table sessions
    add column if not exists surface text,
    add column if not exists address inet,
    add column if not exists user_agent text,
    add column if not exists seen_at timestamptz,
    -- safe: the column is new and all null, and sessions end after 30 days, so its index is made within the lock timeout
    add column cookie_hash bytea constraint sessions_cookie_hash_key unique;
