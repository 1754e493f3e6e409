-- Back to one table: the rows of later parts are copied into the first one. What was removed stays in its files.
lock table order_items in access exclusive mode;
do $$
begin
    if to_regclass('order_items_start') is null then
        create table order_items_start (like order_items including all);
    else
        alter table order_items detach partition order_items_start;
        drop trigger if exists closed on order_items_start;
    end if;
    insert into order_items_start select * from order_items;
    execute format('alter table order_items_start add constraint order_items_bound check (order_id < %L) not valid',
                   (select high from archive_months order by high desc limit 1));
end $$;
drop table order_items;
alter table order_items_start rename to order_items;
alter table order_items rename constraint order_items_start_pkey to order_items_pkey;
