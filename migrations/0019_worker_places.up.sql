-- How many jobs a worker runs at once (0: a worker of the release before, which does not say), and when it stopped. A
-- worker that has stopped or fell silent stays for a while, so that staff see that it is gone.
alter table workers add column concurrency int not null default 0, add column gone_at timestamptz;
