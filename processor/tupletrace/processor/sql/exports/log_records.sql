-- What log records tell of spans, by the day (UTC) on which they were written.
SELECT *, CAST(make_timestamp(time_unix_nano // 1000) AS DATE) AS day FROM log_records
