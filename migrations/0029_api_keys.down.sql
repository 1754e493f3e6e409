-- Service accounts stay as users, because orders and actions name them. Nobody can sign in as one.
drop function api_key_state(api_keys);
drop table api_keys;
drop table service_accounts;
alter table users drop column kind;
