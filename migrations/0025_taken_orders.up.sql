-- Who of the staff looks after an order that waits for a person, so that two people do not do the same.
create table taken_orders (
    order_id  uuid primary key references orders,
    user_id   uuid not null references users,
    user_name text not null,
    at        timestamptz not null default clock_timestamp()
);
