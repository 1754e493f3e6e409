-- Why a queue is paused, by whom, and until when.
alter table queues
    -- safe: the table has three rows
    add column paused_reason text,
    add column paused_by uuid,
    add column paused_by_name text,
    add column resume_at timestamptz;
