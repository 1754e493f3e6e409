-- When somebody first missed the heartbeats of a worker. While the database is away no worker can send one, so a long silence
-- alone does not say that a worker is gone.
alter table workers add column missed_at timestamptz;
