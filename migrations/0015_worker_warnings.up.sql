-- What is insecure about a worker's settings. Staff see it in the API's /health.
alter table workers add column warnings text[] not null default '{}';
