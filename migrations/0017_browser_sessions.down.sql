drop index sessions_cookie_hash;
alter table sessions drop column cookie_hash;
