drop table refresh_tokens, sessions, users;
-- By the name of its schema: Postgres 18 has a function of this name, which is found first.
do $$ begin execute format('drop function %I.uuidv7()', current_schema()); end $$;
