create schema simulated;
alter table simulated_charges set schema simulated;
alter table simulated_attempts set schema simulated;
alter table simulated_bookings set schema simulated;
alter table simulated.simulated_charges rename constraint simulated_charges_pkey to charges_pkey;
alter table simulated.simulated_charges rename constraint simulated_charges_state_check to charges_state_check;
alter table simulated.simulated_charges rename to charges;
alter table simulated.simulated_attempts rename constraint simulated_attempts_pkey to attempts_pkey;
alter table simulated.simulated_attempts rename to attempts;
alter table simulated.simulated_bookings rename constraint simulated_bookings_pkey to bookings_pkey;
alter table simulated.simulated_bookings
    rename constraint simulated_bookings_tracking_number_key to bookings_tracking_number_key;
alter table simulated.simulated_bookings rename to bookings;
