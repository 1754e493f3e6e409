-- no-transaction
create index concurrently job_attempts_fingerprint_ended_at on job_attempts (fingerprint, ended_at);
