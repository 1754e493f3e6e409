-- Requests over time, as 0018_history does it for jobs: what the API answered, how often it failed, how long it took.
create table request_history (
    step     int not null,
    at       timestamptz not null,
    -- `reads` and `writes` of the API, and `pages`.
    class    text not null,
    requests bigint not null,
    -- Answers with a status of 500 or more.
    failed   bigint not null,
    -- How many took as long as each bucket says; the last one has no upper bound.
    took     bigint[] not null,
    primary key (step, at, class)
);
