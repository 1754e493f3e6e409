-- The books of the simulated provider and carrier move into the schema of the shop, so that a database can hold several shops.
-- Only the simulated provider and carrier use these tables. A worker of the release before cannot call them any more until it is
-- replaced; its jobs repeat the call.
-- safe: no money and no parcel depends on them
alter table simulated.charges rename to simulated_charges;
-- safe: as above
alter table simulated.simulated_charges rename constraint charges_pkey to simulated_charges_pkey;
-- safe: as above
alter table simulated.simulated_charges rename constraint charges_state_check to simulated_charges_state_check;
-- safe: as above
alter table simulated.attempts rename to simulated_attempts;
-- safe: as above
alter table simulated.simulated_attempts rename constraint attempts_pkey to simulated_attempts_pkey;
-- safe: as above
alter table simulated.bookings rename to simulated_bookings;
-- safe: as above
alter table simulated.simulated_bookings rename constraint bookings_pkey to simulated_bookings_pkey;
-- safe: as above
alter table simulated.simulated_bookings rename constraint bookings_tracking_number_key to simulated_bookings_tracking_number_key;
do $$
begin
    execute format('alter table simulated.simulated_charges set schema %I', current_schema());
    execute format('alter table simulated.simulated_attempts set schema %I', current_schema());
    execute format('alter table simulated.simulated_bookings set schema %I', current_schema());
end $$;
drop schema simulated;
