drop table feed_head, feed, entity_events;
alter table order_events drop column xact;
