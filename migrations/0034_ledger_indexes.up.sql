-- no-transaction
drop index concurrently stock_movements_product;
