drop table bulk_actions;
drop index jobs_of_bulk;
alter table jobs drop column bulk_id;
drop index jobs_dead_by_error;
