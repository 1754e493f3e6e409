-- Finding users by a part of their name and by the beginning of their address, and those with a role.
-- safe: some seconds for a million users, in which nobody can register
create index users_name_contains on users using gin (lower(name) gin_trgm_ops);
-- safe: as above
create index users_email_begins on users (email_key text_pattern_ops);
-- safe: only staff are in it
create index users_staff on users (role, id) where role <> 'customer';
