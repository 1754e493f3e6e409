-- Reads the three tables while they are read and written.
alter table order_items validate constraint order_items_bound;
alter table order_events validate constraint order_events_bound;
alter table stock_movements validate constraint stock_movements_bound;
