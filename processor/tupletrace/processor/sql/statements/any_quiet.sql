-- One row if a trace received no span for $quiet_ms milliseconds.
SELECT trace_id
FROM open_traces
GROUP BY trace_id
HAVING max(last_indexed) <= now() - to_milliseconds($quiet_ms)
LIMIT 1;
