-- Few jobs have a unique key, and this index held an entry for each version of every job. `jobs_unique_key_given` has
-- taken its place. There is no release yet whose `on conflict` needs the old one.
alter table jobs drop constraint jobs_unique_key;
