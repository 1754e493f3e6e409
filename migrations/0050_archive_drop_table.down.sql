drop function archive_drop_table();
drop function archive_mark_removed(text);
