-- Settle everything anew.
INSERT INTO open_traces BY NAME
SELECT trace_id, coalesce(min(journal_seq), 0) AS first_seq, TIMESTAMPTZ '1970-01-01 00:00:00+00' AS last_indexed
FROM spans
GROUP BY trace_id;
