-- The history of orders and of stock in parts, one for each month: `order_items` and `order_events` by the id of their
-- order, `stock_movements` by their own id. Ids begin with the time. An old part is written to files and dropped whole.
create table archive_months (
    -- The part has the ids from `low` and before `high`.
    low        uuid primary key,
    high       uuid not null unique,
    ends_at    timestamptz not null,
    -- `2026_12`. The first part, `start`, has all that was there before there were parts.
    name       text not null unique,
    -- Since then nothing is added to it.
    closed_at  timestamptz,
    -- Since then its files are complete and were compared with the tables. What they contain: their names, rows and hashes.
    written_at timestamptz,
    files      jsonb,
    -- Since then only the files have it.
    removed_at timestamptz,
    check (low < high),
    check (removed_at is null or written_at is not null)
);

-- What the stock of a row was at the end of a part, from the checkpoints: the part's movements must add up to the
-- difference.
create table stock_closings (
    high         uuid not null,
    product_id   uuid not null,
    warehouse_id uuid not null,
    on_hand      bigint not null,
    reserved     bigint not null,
    primary key (high, product_id, warehouse_id)
);

-- The first id of this time.
create function archive_id(at timestamptz) returns uuid immutable language sql as $$
    select rpad(lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;

-- The first part ends with this month, or with the next one if this one is nearly over: until the tables have their parts,
-- no id may be later.
insert into archive_months (low, high, ends_at, name)
select '00000000-0000-0000-0000-000000000000', archive_id(ends_at), ends_at, 'start'
  from (select (date_trunc('month', now() at time zone 'utc' + interval '2 days') + interval '1 month') at time zone 'utc'
                   as ends_at) month;

-- Locks tables against everything, without making others wait for long: it gives up after 0.2 s and tries again later. Every
-- fifth time it waits for 1.5 s for the first tables: after a second Postgres ends an autovacuum that is in the way. For the
-- others it waits 0.2 s only, because two sessions that wait for each other's tables must not get as far as a deadlock.
create function archive_lock(first text[], others text[] default '{}') returns void language plpgsql as $$
declare
    relation text;
begin
    for attempt in 1..40 loop
        begin
            perform set_config('lock_timeout', case when attempt % 5 = 0 then '1500ms' else '200ms' end, true);
            foreach relation in array first loop
                execute format('lock table only %I in access exclusive mode', relation);
            end loop;
            perform set_config('lock_timeout', '200ms', true);
            foreach relation in array others loop
                execute format('lock table only %I in access exclusive mode', relation);
            end loop;
            return;
        exception when lock_not_available then
            perform pg_sleep(0.5);
        end;
    end loop;
    raise lock_not_available using message = format('%s: always in use; try again later', first || others);
end $$;

-- Makes the parts of the next months, where they are missing, and returns how many. The application may call it: its role
-- may not change the schema.
create function archive_extend() returns int security definer language plpgsql as $$
declare
    last archive_months;
    of text;
    part text;
    until timestamptz;
    made int := 0;
begin
    if exists (select from archive_months where ends_at > now() + interval '3 months') then
        return 0;
    end if;
    lock table archive_months in share row exclusive mode;
    loop
        select * into last from archive_months order by high desc limit 1;
        exit when last.ends_at > now() + interval '3 months';
        until := (last.ends_at at time zone 'utc' + interval '1 month') at time zone 'utc';
        foreach of in array array['order_items', 'order_events', 'stock_movements'] loop
            part := of || to_char(last.ends_at at time zone 'utc', '_YYYY_MM');
            execute format('create table %I (like %I including defaults including constraints)', part, of);
            execute format('alter table %I attach partition %I for values from (%L) to (%L)',
                           of, part, last.high, archive_id(until));
        end loop;
        insert into archive_months (low, high, ends_at, name)
        values (last.high, archive_id(until), until, to_char(last.ends_at at time zone 'utc', 'YYYY_MM'));
        made := made + 1;
    end loop;
    return made;
end $$;

create function refuse_closed() returns trigger language plpgsql as $$
begin
    raise exception 'the part % is closed', tg_argv[0] using errcode = 'ARCHV', constraint = tg_argv[0];
end $$;

-- From the commit on nothing is added to the part of this month. It waits for those who are just adding something. A part
-- that ended less than 35 days ago stays open, whatever the application asks for.
create function archive_close(month text) returns void security definer language plpgsql as $$
declare
    of text;
begin
    foreach of in array array['order_items', 'order_events', 'stock_movements'] loop
        execute format('create trigger closed before insert on %I for each row execute function refuse_closed(%L)',
                       of || '_' || month, month);
    end loop;
    update archive_months set closed_at = clock_timestamp()
     where name = month and closed_at is null and ends_at < now() - interval '35 days';
    if not found then
        raise exception '% is no old part, or it is closed', month;
    end if;
end $$;

-- Drops the part of this month: the oldest that is there, and only if its files were written.
create function archive_remove(month text) returns void security definer language plpgsql as $$
declare
    of text;
begin
    if month is distinct from (select name from archive_months where removed_at is null order by low limit 1) then
        raise exception '% is not the oldest part', month;
    end if;
    update archive_months set removed_at = clock_timestamp() where name = month and written_at is not null;
    if not found then
        raise exception 'the files of % are not written', month;
    end if;
    perform archive_lock(array['order_items_' || month, 'order_events_' || month, 'stock_movements_' || month],
                         array['order_items', 'order_events', 'stock_movements']);
    foreach of in array array['order_items', 'order_events', 'stock_movements'] loop
        execute format('drop table %I', of || '_' || month);
    end loop;
end $$;

-- These functions act with the rights of the owner. So they find only the owner's tables, and only who is told may call
-- them.
do $$
declare
    callable text;
begin
    foreach callable in array array['archive_extend()', 'archive_close(text)', 'archive_remove(text)', 'archive_lock(text[], text[])'] loop
        execute format('alter function %s set search_path = %I, pg_temp', callable, current_schema());
        execute format('revoke all on function %s from public', callable);
    end loop;
end $$;
