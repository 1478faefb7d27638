-- Log records and evaluations of no trace from before $before (ns); NULL: none.
DELETE FROM log_records
WHERE trace_id IS NULL AND time_unix_nano < $before;

DELETE FROM evaluation_results
WHERE trace_id IS NULL AND time < make_timestamptz($before // 1000);
