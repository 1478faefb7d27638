-- Settle everything anew.
INSERT INTO open_traces BY NAME
SELECT trace_id, coalesce(min(journal_seq), 0) AS first_seq
FROM spans
GROUP BY trace_id;
