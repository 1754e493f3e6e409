alter table jobs add constraint jobs_unique_key unique (unique_key);
