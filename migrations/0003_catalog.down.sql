drop table products, categories;
drop extension pg_trgm;
