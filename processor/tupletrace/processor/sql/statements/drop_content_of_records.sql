-- Log records have told their spans what they say; evaluations keep what they found. Of no trace: before $before (ns).
DELETE FROM log_records
WHERE trace_id IN (FROM due)
   OR (trace_id IS NULL AND time_unix_nano < $before);

UPDATE evaluation_results SET explanation = NULL
WHERE explanation IS NOT NULL
  AND (trace_id IN (FROM due) OR (trace_id IS NULL AND time < make_timestamptz($before // 1000)));
