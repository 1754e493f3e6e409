-- no-transaction
drop index concurrently job_attempts_fingerprint_ended_at;
