-- Distributes the schema of a shop over a Citus cluster: all of its tables go to one node, and `citus_schema_move` takes them to
-- another one. A superuser runs it once, after `millrace-api migrate`, on the coordinator:
--
--   psql -d millrace -v shop=shop_7 -f citus.sql
--
-- Then run `millrace-api feed rebuild`, also after each move: the feed orders events by numbers of transactions, and those of
-- another node are others, as after a restore.
-- docs/scaling.md says what all processes of such a shop must keep to.
\set ON_ERROR_STOP on
-- Our triggers look at no other row. The setting must be in postgresql.conf too: each month gets new tables with triggers.
set citus.enable_unsafe_triggers = on;

begin;
-- The feed compares these numbers with a snapshot of the node that has the tables. The default of the column is the number on
-- the coordinator.
create function :"shop".own_xact() returns trigger language plpgsql as $$
begin
    new.xact := pg_current_xact_id();
    return new;
end $$;
create trigger own_xact before insert on :"shop".order_events for each row execute function :"shop".own_xact();
create trigger own_xact before insert on :"shop".entity_events for each row execute function :"shop".own_xact();
commit;

select citus_schema_distribute(:'shop');
