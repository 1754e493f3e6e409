-- Drops a part of history one table after the other, each in a transaction of its own. Before, one transaction locked all
-- three tables: while it waited for the last one, requests waited for the others. `archive_remove` stays, because workers of
-- the release before call it.

-- Marks the part as removed: the oldest that is there, and only if its files were written. From the commit on the audit and
-- the readers leave it out. Its tables are dropped afterwards.
create function archive_mark_removed(month text) returns void security definer language plpgsql as $$
begin
    if month is distinct from (select name from archive_months where removed_at is null order by low limit 1) then
        raise exception '% is not the oldest part', month;
    end if;
    update archive_months set removed_at = statement_timestamp() where name = month and written_at is not null;
    if not found then
        raise exception 'the files of % are not written', month;
    end if;
end $$;

-- Drops one table of a removed part, and returns whether there was one. A process that was killed in between left the
-- others, so it looks at all removed parts. `order_items` goes first, because an order with items is not looked for in the
-- archive.
create function archive_drop_table() returns boolean security definer language plpgsql as $$
declare
    parent text;
    part text;
begin
    select t.name, t.name || '_' || m.name into parent, part
      from archive_months m
     cross join unnest(array['order_items', 'order_events', 'stock_movements']) with ordinality t (name, place)
     where m.removed_at is not null and to_regclass(quote_ident(t.name || '_' || m.name)) is not null
     order by m.low, t.place limit 1;
    if part is null then
        return false;
    end if;
    perform archive_lock(array[part], array[parent]);
    execute format('drop table %I', part);
    return true;
end $$;

do $$
declare
    callable text;
begin
    foreach callable in array array['archive_mark_removed(text)', 'archive_drop_table()'] loop
        execute format('alter function %s set search_path = %I, pg_temp', callable, current_schema());
        execute format('revoke all on function %s from public', callable);
    end loop;
end $$;
