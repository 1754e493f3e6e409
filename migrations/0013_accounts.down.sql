drop table known_networks;
alter table users drop column email_key;
