alter table stock_movements drop constraint stock_movements_bound;
alter table order_events drop constraint order_events_bound;
alter table order_items drop constraint order_items_bound;
