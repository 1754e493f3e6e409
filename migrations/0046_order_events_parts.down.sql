-- Back to one table: the rows of later parts are copied into the first one. What was removed stays in its files.
lock table order_events in access exclusive mode;
do $$
begin
    if to_regclass('order_events_start') is null then
        create table order_events_start (like order_events including all);
    else
        alter table order_events detach partition order_events_start;
        drop trigger if exists closed on order_events_start;
    end if;
    insert into order_events_start select * from order_events;
    execute format('alter table order_events_start add constraint order_events_bound check (order_id < %L) not valid',
                   (select high from archive_months order by high desc limit 1));
end $$;
drop table order_events;
alter table order_events_start rename to order_events;
alter table order_events rename constraint order_events_start_pkey to order_events_pkey;
alter index if exists order_events_start_xact rename to order_events_xact;
