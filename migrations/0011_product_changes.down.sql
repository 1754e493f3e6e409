drop index products_updated_at;
