-- no-transaction
create unique index concurrently jobs_unique_key_given on jobs (unique_key) where unique_key is not null;
