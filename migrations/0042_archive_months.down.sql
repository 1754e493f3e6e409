drop function archive_remove(text);
drop function archive_close(text);
drop function refuse_closed();
drop function archive_extend();
drop function archive_lock(text[], text[]);
drop table stock_closings;
drop table archive_months;
drop function archive_id(timestamptz);
