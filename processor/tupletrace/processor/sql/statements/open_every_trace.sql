-- Settle everything anew.
INSERT INTO open_traces BY NAME
SELECT trace_id, min(day) AS first_day, TIMESTAMPTZ '1970-01-01 00:00:00+00' AS last_indexed
FROM spans
GROUP BY trace_id;
