-- The rows of an order, a reservation and a movement of stock are written with their parent, or from a parent that the
-- same statement has locked or read. A foreign key checks each of them once more, row by row: half of the time that the
-- statement takes that places a batch. The application never deletes a parent, its role may not, and the audit looks for
-- rows without one (`rows_have_their_parents`).
alter table stock_movements drop constraint stock_movements_product_id_warehouse_id_fkey;
alter table reservation_lines drop constraint reservation_lines_product_id_warehouse_id_fkey;
alter table reservation_lines drop constraint reservation_lines_reservation_id_fkey;
alter table reservations drop constraint reservations_order_id_fkey;
alter table reservations drop constraint reservations_created_by_fkey;
alter table order_items drop constraint order_items_order_id_fkey;
alter table order_items drop constraint order_items_product_id_fkey;
alter table order_events drop constraint order_events_order_id_fkey;
alter table orders drop constraint orders_placed_by_fkey;
alter table charges drop constraint charges_order_id_fkey;
alter table shipments drop constraint shipments_order_id_fkey;
alter table shipments drop constraint shipments_warehouse_id_fkey;
