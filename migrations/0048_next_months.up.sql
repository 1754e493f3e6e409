-- The parts of the next months. Statistics of the whole tables: autovacuum keeps only those of the parts.
select archive_extend();
analyze order_items, order_events, stock_movements;
