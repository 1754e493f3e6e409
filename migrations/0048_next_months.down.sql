-- Nothing to take back: each table copies its parts back into one.
select 1;
