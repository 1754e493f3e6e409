-- no-transaction
create index concurrently orders_stage on orders (stage, id);
