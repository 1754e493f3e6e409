create extension if not exists pg_trgm;

create table categories (
    id         uuid primary key default uuidv7(),
    name       text not null constraint categories_name_key unique check (length(name) between 1 and 200),
    parent_id  uuid constraint categories_parent_id_fkey references categories,
    version    int not null default 1,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    check (parent_id <> id)
);
create index categories_parent_id on categories (parent_id) where parent_id is not null;

create table products (
    id            uuid primary key default uuidv7(),
    sku           text not null constraint products_sku_key unique check (length(sku) between 1 and 64),
    name          text not null check (length(name) between 1 and 200),
    description   text not null default '' check (length(description) <= 10000),
    price_minor   bigint not null check (price_minor between 0 and 1000000000000),
    currency      text not null check (currency ~ '^[A-Z]{3}$'),
    category_id   uuid constraint products_category_id_fkey references categories,
    weight_grams  int check (weight_grams >= 0),
    dimensions_mm jsonb,
    active        boolean not null default true,
    version       int not null default 1,
    created_at    timestamptz not null default clock_timestamp(),
    updated_at    timestamptz not null default clock_timestamp(),
    -- The leading blank lets one index answer both "contains" and "a word begins with" (short searches).
    search        text not null generated always as (' ' || lower(sku) || ' ' || lower(name)) stored
);
create index products_category_id on products (category_id, id);
create index products_price on products (price_minor, id);
create index products_inactive on products (id) where not active;
create index products_search on products using gin (search gin_trgm_ops);
