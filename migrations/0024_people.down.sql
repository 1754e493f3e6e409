drop index users_staff;
drop index users_email_begins;
drop index users_name_contains;
