-- `order_items` in parts. The table as it was becomes the first part: no row is copied or read.
select archive_lock(array['order_items']);
-- safe: the table that takes its name has the same columns and the same rows
alter table order_items rename to order_items_start;
-- safe: nobody names it
alter table order_items_start rename constraint order_items_pkey to order_items_start_pkey;
create table order_items (like order_items_start including defaults including constraints) partition by range (order_id);
alter table order_items drop constraint order_items_bound;
alter table order_items add primary key (order_id, line);

do $$
declare
    given record;
begin
    execute format('alter table order_items attach partition order_items_start for values from (minvalue) to (%L)',
                   (select high from archive_months where name = 'start'));
    -- Who could use the table can use it now: old processes go on.
    for given in
        select grantee::regrole as who, privilege_type as what from pg_class, aclexplode(relacl)
         where oid = 'order_items_start'::regclass and grantee not in (0, relowner)
    loop
        execute format('grant %s on order_items to %s', given.what, given.who);
    end loop;
end $$;
alter table order_items_start drop constraint order_items_bound;
