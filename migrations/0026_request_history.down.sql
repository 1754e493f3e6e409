drop table request_history;
