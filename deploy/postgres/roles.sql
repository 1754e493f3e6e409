-- Makes the two roles of Millrace's database, and gives the database and what is in it to the owner. A superuser runs
-- it with psql in that database. It may be run again, to set new passwords, or on a database that had one role:
--
--   MILLRACE_OWNER_PASSWORD=… MILLRACE_APP_PASSWORD=… psql -d millrace -f roles.sql
--
-- millrace_owner  migrates. `millrace-api migrate` then gives the other role its privileges.
-- millrace_app    is the role of all API and worker processes.
\set ON_ERROR_STOP on
\getenv owner_password MILLRACE_OWNER_PASSWORD
\getenv app_password MILLRACE_APP_PASSWORD
-- An unset variable must stop it here, and not become a password.
\if :{?owner_password}
\else
  \warn MILLRACE_OWNER_PASSWORD is not set
  select 1 / 0;
\endif
\if :{?app_password}
\else
  \warn MILLRACE_APP_PASSWORD is not set
  select 1 / 0;
\endif

begin;
-- If the server logs statements, it must not log these.
set local log_statement = 'none';
set local log_min_error_statement = 'panic';

select format('create role %I', name) from (values ('millrace_owner'), ('millrace_app')) as wanted (name)
 where not exists (select from pg_roles where rolname = name) \gexec
alter role millrace_owner login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'owner_password';
alter role millrace_app login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'app_password';

-- The limits that our processes ask for when they connect. Here they hold behind a pooler too, which forgets them.
alter role millrace_app in database :"DBNAME" set statement_timeout = '5s';
alter role millrace_app in database :"DBNAME" set lock_timeout = '3s';
alter role millrace_app in database :"DBNAME" set idle_in_transaction_session_timeout = '10s';
alter role millrace_app in database :"DBNAME" set jit = off;
alter role millrace_app in database :"DBNAME" set random_page_cost = 1.1;
alter role millrace_app in database :"DBNAME" set enable_seqscan = off;
alter role millrace_app in database :"DBNAME" set max_parallel_workers_per_gather = 0;

alter database :"DBNAME" owner to millrace_owner;
-- By default everybody may connect to a database and make temporary tables in it.
revoke all on database :"DBNAME" from public;
grant connect on database :"DBNAME" to millrace_app;
-- A database that was upgraded from Postgres 14 still lets everybody make tables here.
alter schema public owner to pg_database_owner;
revoke create on schema public from public;

-- What another role had made goes to the owner, in each schema, because each may be a shop. What belongs to an extension stays
-- with it.
do $$
declare
    of_extensions oid[] := array(select objid from pg_depend where deptype = 'e');
    ours oid[] := array(select oid from pg_namespace
                         where nspname !~ '^pg_' and nspname <> 'information_schema' and oid <> all (of_extensions));
    command text;
begin
    for command in
        select format('alter schema %I owner to millrace_owner', nspname) from pg_namespace
         where oid = any (ours) and nspname <> 'public'
        union all
        select format('alter table %s owner to millrace_owner', oid::regclass) from pg_class
         where relnamespace = any (ours) and relkind in ('r', 'p', 'v', 'm') and oid <> all (of_extensions)
        union all
        select format('alter sequence %s owner to millrace_owner', oid::regclass) from pg_class as it
         where relnamespace = any (ours) and relkind = 'S'
           and not exists (select from pg_depend where objid = it.oid and deptype in ('a', 'i'))
        union all
        select format('alter routine %s owner to millrace_owner', oid::regprocedure) from pg_proc
         where pronamespace = any (ours) and oid <> all (of_extensions)
        union all
        select format('alter type %s owner to millrace_owner', oid::regtype) from pg_type
         where typnamespace = any (ours) and typtype in ('e', 'd') and oid <> all (of_extensions)
    loop
        execute command;
    end loop;
end $$;
commit;
