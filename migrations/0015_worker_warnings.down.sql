alter table workers drop column warnings;
