-- no-transaction
-- A customer's orders in one stage, however many others there are; and "how many unpaid orders has this customer?" is
-- asked at every placement.
create index concurrently orders_customer_stage on orders (customer_id, stage, id);
