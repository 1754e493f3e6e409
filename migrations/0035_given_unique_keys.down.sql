-- no-transaction
drop index concurrently jobs_unique_key_given;
