drop schema simulated cascade;
drop table shipments, charges;
