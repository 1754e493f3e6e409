alter table audit_runs drop column next_stretch;
drop table stock_checkpointed;
drop table stock_checkpoints;
