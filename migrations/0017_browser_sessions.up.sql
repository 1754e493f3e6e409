-- The session of a browser: its cookie carries a random value, and only its hash is kept.
alter table sessions
    -- safe: the column is empty, and the table has the sessions of at most 30 days
    add column cookie_hash bytea;
-- safe: no row has a value yet, so the index is made at once
create unique index sessions_cookie_hash on sessions (cookie_hash) where cookie_hash is not null;
