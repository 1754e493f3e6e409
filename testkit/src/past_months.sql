-- Gives the three tables of history a part for each past month, as if the shop had been there then. It drops the parts that
-- are there, with their rows. `past.rs` and the bench's `fill.rs` put a number for {months}.
do $$
declare
    cut timestamptz := (date_trunc('month', now() at time zone 'utc') - interval '{months} months') at time zone 'utc';
    part text;
    of text;
begin
    for part in select inhrelid::regclass from pg_inherits
                 where inhparent in ('order_items'::regclass, 'order_events'::regclass, 'stock_movements'::regclass) loop
        execute 'drop table ' || part;
    end loop;
    delete from archive_months;
    insert into archive_months (low, high, ends_at, name) values (archive_id('epoch'), archive_id(cut), cut, 'start');
    foreach of in array array['order_items', 'order_events', 'stock_movements'] loop
        execute format('create table %I partition of %I for values from (minvalue) to (%L)', of || '_start', of, archive_id(cut));
    end loop;
    perform archive_extend();
end $$;
