-- `order_events` in parts. The table as it was becomes the first part: no row is copied or read.
select archive_lock(array['order_events']);
-- safe: the table that takes its name has the same columns and the same rows
alter table order_events rename to order_events_start;
-- safe: nobody names it
alter table order_events_start rename constraint order_events_pkey to order_events_start_pkey;
-- safe: nobody names it
alter index order_events_xact rename to order_events_start_xact;
create table order_events (like order_events_start including defaults including constraints) partition by range (order_id);
alter table order_events drop constraint order_events_bound;
alter table order_events add primary key (order_id, sequence);
create index order_events_xact on order_events (xact) where xact is not null;

do $$
declare
    given record;
begin
    execute format('alter table order_events attach partition order_events_start for values from (minvalue) to (%L)',
                   (select high from archive_months where name = 'start'));
    -- Who could use the table can use it now: old processes go on.
    for given in
        select grantee::regrole as who, privilege_type as what from pg_class, aclexplode(relacl)
         where oid = 'order_events_start'::regclass and grantee not in (0, relowner)
    loop
        execute format('grant %s on order_events to %s', given.what, given.who);
    end loop;
end $$;
alter table order_events_start drop constraint order_events_bound;
