-- Finding customers by the beginning of their address and by a part of their name, and orders by their parcel.
-- safe: some seconds for a million customers, in which nobody can register
create index customers_email_begins on customers (lower(email) text_pattern_ops);
-- safe: as above
create index customers_name_contains on customers using gin (lower(name) gin_trgm_ops);
-- safe: a second for a million shipments, in which nothing is shipped
create index shipments_tracking_number on shipments (tracking_number) where tracking_number is not null;
