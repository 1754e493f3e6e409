-- no-transaction
create index concurrently order_events_xact on order_events (xact) where xact is not null;
