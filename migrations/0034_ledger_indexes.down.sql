-- no-transaction
create index concurrently stock_movements_product on stock_movements (product_id, id);
