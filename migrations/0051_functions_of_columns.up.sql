-- Whether a session is live and how an API key stands, from columns. A function of a whole row works only on the table that
-- has that row type, and Citus keeps the rows in a table of another name. The old functions stay for the release before.
create function session_is_live(ended_at timestamptz, expires_at timestamptz, created_at timestamptz, last_seen_at timestamptz,
                                role text, staff_max_age double precision, staff_idle double precision, now timestamptz)
returns boolean immutable parallel safe language sql as $$
    select ended_at is null and expires_at > now
       and (role = 'customer'
            or (now - created_at < make_interval(secs => staff_max_age)
                and now - last_seen_at < make_interval(secs => staff_idle)))
$$;

create function api_key_state(revoked_at timestamptz, expires_at timestamptz, replaced_by uuid, now timestamptz)
returns text immutable parallel safe language sql as $$
    select case when revoked_at is not null then 'revoked'
                when expires_at <= now then 'expired'
                when replaced_by is not null then 'replaced'
                else 'active' end
$$;

-- As before, with a time that is read once: Citus refuses `clock_timestamp()` in an update.
create or replace function archive_close(month text) returns void security definer language plpgsql as $$
declare
    of text;
begin
    foreach of in array array['order_items', 'order_events', 'stock_movements'] loop
        execute format('create trigger closed before insert on %I for each row execute function refuse_closed(%L)',
                       of || '_' || month, month);
    end loop;
    update archive_months set closed_at = statement_timestamp()
     where name = month and closed_at is null and ends_at < now() - interval '35 days';
    if not found then
        raise exception '% is no old part, or it is closed', month;
    end if;
end $$;

-- `create or replace` has reset the search path of the function.
do $$
begin
    execute format('alter function archive_close(text) set search_path = %I, pg_temp', current_schema());
end $$;
