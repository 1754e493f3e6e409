drop table audit_starts;
