-- The normal form of an address. `Email` admits ASCII only, and "C" lowers only ASCII letters, so this is what
-- `Email::key` makes. It is generated, so that processes of the release before may still add users.
do $$
begin
    -- Possible only in a database whose collation lowers I in the Turkish way. A person has to decide whose address it is.
    if exists (select from users group by lower(email collate "C") having count(*) > 1) then
        raise exception 'several users have the same e-mail address in another case; change all but one of each: '
            'select lower(email collate "C"), array_agg(id) from users group by 1 having count(*) > 1';
    end if;
end $$;
alter table users add column email_key text not null generated always as (lower(email collate "C")) stored;
-- The index on lower(email) stays for the release before; the next migration of this table drops it.
-- safe: the column above has just rewritten the table under this lock; both take about a second for 100,000 users
create unique index users_email_key_unique on users (email_key);

-- From where each account has signed in. While others guess a password, these networks may go on signing in.
create table known_networks (
    user_id uuid not null references users,
    network inet not null,
    seen_at timestamptz not null default clock_timestamp(),
    primary key (user_id, network)
);
create index known_networks_seen_at on known_networks (seen_at);
