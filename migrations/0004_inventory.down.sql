drop table stock_movements, reservation_lines, reservations, inventory, warehouses;
drop function refuse_change;
