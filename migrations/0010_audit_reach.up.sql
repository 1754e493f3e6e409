-- What the ledger adds up to until a moment behind which nobody writes any more. The audit adds only what came
-- later: a ledger of years costs what an hour costs.
create table stock_checkpoints (
    product_id   uuid not null,
    warehouse_id uuid not null,
    on_hand      bigint not null,
    reserved     bigint not null,
    primary key (product_id, warehouse_id)
) with (fillfactor = 85);

-- Movements before this one are in the checkpoints. One row.
create table stock_checkpointed (
    only_one boolean primary key default true check (only_one),
    before   uuid not null
);
insert into stock_checkpointed (before) values ('00000000-0000-0000-0000-000000000000');

-- With which order the next run goes on through the past. Null: a run of an older version.
alter table audit_runs add column next_stretch uuid;
