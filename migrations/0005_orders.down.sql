drop table idempotency_keys, order_events, order_items;
alter table reservations drop constraint reservations_order_id_fkey;
drop table orders;
drop sequence order_numbers;
