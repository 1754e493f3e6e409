-- Analyzing a table in parts analyzes each part, which takes longer than a request may.
set local statement_timeout = 0;

-- 10,000 products in one warehouse, with more stock than a run can sell. The newest one is the hot product.
insert into warehouses (code, name, priority) values ('BENCH', 'Bench', 1);
insert into products (sku, name, description, price_minor, currency)
select 'BENCH-' || lpad(n::text, 5, '0'), 'Measured mug ' || n, repeat('Holds what it is given. ', 8), 500 + n, 'USD'
  from generate_series(1, 10000) n;
with stocked as (
    insert into inventory (product_id, warehouse_id, on_hand)
    select p.id, w.id, 1000000000 from products p, warehouses w where p.sku like 'BENCH-%' and w.code = 'BENCH'
    returning product_id, warehouse_id, on_hand)
insert into stock_movements (product_id, warehouse_id, on_hand_delta, reason)
select product_id, warehouse_id, on_hand, 'received' from stocked;
analyze warehouses, products, inventory, stock_movements;
