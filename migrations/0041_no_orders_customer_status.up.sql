-- no-transaction
drop index concurrently orders_customer_status;
