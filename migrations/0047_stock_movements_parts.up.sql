-- `stock_movements` in parts. The table as it was becomes the first part: no row is copied or read.
select archive_lock(array['stock_movements']);
drop trigger append_only on stock_movements;
-- safe: the table that takes its name has the same columns and the same rows
alter table stock_movements rename to stock_movements_start;
-- safe: nobody names it
alter table stock_movements_start rename constraint stock_movements_pkey to stock_movements_start_pkey;
-- safe: nobody names it
alter index stock_movements_row rename to stock_movements_start_row;
-- safe: nobody names it
alter index stock_movements_warehouse rename to stock_movements_start_warehouse;
-- safe: nobody names it
alter index stock_movements_order rename to stock_movements_start_order;
create table stock_movements (like stock_movements_start including defaults including constraints) partition by range (id);
alter table stock_movements drop constraint stock_movements_bound;
alter table stock_movements add primary key (id);
create index stock_movements_row on stock_movements (product_id, warehouse_id, id);
create index stock_movements_warehouse on stock_movements (warehouse_id, id);
create index stock_movements_order on stock_movements (order_id, id) where order_id is not null;
create trigger append_only before update or delete or truncate on stock_movements
    for each statement execute function refuse_change();

do $$
declare
    given record;
begin
    execute format('alter table stock_movements attach partition stock_movements_start for values from (minvalue) to (%L)',
                   (select high from archive_months where name = 'start'));
    -- Who could use the table can use it now: old processes go on.
    for given in
        select grantee::regrole as who, privilege_type as what from pg_class, aclexplode(relacl)
         where oid = 'stock_movements_start'::regclass and grantee not in (0, relowner)
    loop
        execute format('grant %s on stock_movements to %s', given.what, given.who);
    end loop;
end $$;
alter table stock_movements_start drop constraint stock_movements_bound;
