-- Back to one table: the rows of later parts are copied into the first one. What was removed stays in its files.
lock table stock_movements in access exclusive mode;
do $$
begin
    if to_regclass('stock_movements_start') is null then
        create table stock_movements_start (like stock_movements including all);
    else
        alter table stock_movements detach partition stock_movements_start;
        drop trigger if exists closed on stock_movements_start;
    end if;
    insert into stock_movements_start select * from stock_movements;
    execute format('alter table stock_movements_start add constraint stock_movements_bound check (id < %L) not valid',
                   (select high from archive_months order by high desc limit 1));
end $$;
drop table stock_movements;
alter table stock_movements_start rename to stock_movements;
alter table stock_movements rename constraint stock_movements_start_pkey to stock_movements_pkey;
alter index if exists stock_movements_start_row rename to stock_movements_row;
alter index if exists stock_movements_start_warehouse rename to stock_movements_warehouse;
alter index if exists stock_movements_start_order rename to stock_movements_order;
create trigger append_only before update or delete or truncate on stock_movements
    for each statement execute function refuse_change();
