alter table sessions
    drop column cookie_hash,
    drop column if exists seen_at,
    drop column if exists user_agent,
    drop column if exists address,
    drop column if exists surface;
