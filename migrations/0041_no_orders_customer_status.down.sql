-- no-transaction
create index concurrently orders_customer_status on orders (customer_id, status, id);
