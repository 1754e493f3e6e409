-- "Which products have changed?" is asked twice a second by every API process, to forget what it has cached of them.
create index products_updated_at on products (updated_at);
