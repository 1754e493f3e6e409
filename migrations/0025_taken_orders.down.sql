drop table taken_orders;
