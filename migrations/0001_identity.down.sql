drop table refresh_tokens, sessions, users;
drop function uuidv7;
