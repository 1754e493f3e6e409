alter table queues drop column paused_reason, drop column paused_by, drop column paused_by_name, drop column resume_at;
