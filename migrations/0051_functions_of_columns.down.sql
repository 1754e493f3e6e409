drop function session_is_live(timestamptz, timestamptz, timestamptz, timestamptz, text, double precision, double precision,
                              timestamptz);
drop function api_key_state(timestamptz, timestamptz, uuid, timestamptz);

create or replace function archive_close(month text) returns void security definer language plpgsql as $$
declare
    of text;
begin
    foreach of in array array['order_items', 'order_events', 'stock_movements'] loop
        execute format('create trigger closed before insert on %I for each row execute function refuse_closed(%L)',
                       of || '_' || month, month);
    end loop;
    update archive_months set closed_at = clock_timestamp()
     where name = month and closed_at is null and ends_at < now() - interval '35 days';
    if not found then
        raise exception '% is no old part, or it is closed', month;
    end if;
end $$;

do $$
begin
    execute format('alter function archive_close(text) set search_path = %I, pg_temp', current_schema());
end $$;
