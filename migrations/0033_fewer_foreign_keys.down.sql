alter table stock_movements add constraint stock_movements_product_id_warehouse_id_fkey
    foreign key (product_id, warehouse_id) references inventory (product_id, warehouse_id);
alter table reservation_lines add constraint reservation_lines_product_id_warehouse_id_fkey
    foreign key (product_id, warehouse_id) references inventory (product_id, warehouse_id);
alter table reservation_lines add constraint reservation_lines_reservation_id_fkey
    foreign key (reservation_id) references reservations;
alter table reservations add constraint reservations_order_id_fkey foreign key (order_id) references orders;
alter table reservations add constraint reservations_created_by_fkey foreign key (created_by) references users;
alter table order_items add constraint order_items_order_id_fkey foreign key (order_id) references orders;
alter table order_items add constraint order_items_product_id_fkey foreign key (product_id) references products;
alter table order_events add constraint order_events_order_id_fkey foreign key (order_id) references orders;
alter table orders add constraint orders_placed_by_fkey foreign key (placed_by) references users;
alter table charges add constraint charges_order_id_fkey foreign key (order_id) references orders;
alter table shipments add constraint shipments_order_id_fkey foreign key (order_id) references orders;
alter table shipments add constraint shipments_warehouse_id_fkey foreign key (warehouse_id) references warehouses;
