-- No row is later than the first part ends. `attach partition` then need not read the table.
do $$
declare
    cut uuid := (select high from archive_months where name = 'start');
begin
    execute format('alter table order_items add constraint order_items_bound check (order_id < %L) not valid', cut);
    execute format('alter table order_events add constraint order_events_bound check (order_id < %L) not valid', cut);
    execute format('alter table stock_movements add constraint stock_movements_bound check (id < %L) not valid', cut);
end $$;
