-- The statistics are lost.
drop table shop_history;
drop table queue_history;
drop table job_history;
drop aggregate sum_arrays(bigint[]);
drop function add_arrays(bigint[], bigint[]);
