alter table workers drop column missed_at;
