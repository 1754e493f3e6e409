-- The release before does not know `gone_at` and would take these for alive.
delete from workers where gone_at is not null;
alter table workers drop column gone_at, drop column concurrency;
