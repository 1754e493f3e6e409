drop table audit_runs;
