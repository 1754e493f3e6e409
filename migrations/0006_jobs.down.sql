drop table jobs;
drop type queue;
