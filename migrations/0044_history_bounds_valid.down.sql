-- Nothing to take back: 0043 removes the constraints.
select 1;
