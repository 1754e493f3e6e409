drop index shipments_tracking_number;
drop index customers_name_contains;
drop index customers_email_begins;
