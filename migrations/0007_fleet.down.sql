drop table clockwork, workers, queues, job_attempts;
drop index jobs_by_error, jobs_done, jobs_discarded;
alter table jobs drop column error, drop column error_fingerprint, drop column started_at;
