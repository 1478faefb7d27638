-- Rollups of due traces are gone: those that still have spans get them anew.
INSERT INTO open_traces BY NAME
SELECT trace_id, min(journal_seq) AS first_seq
FROM spans
WHERE trace_id IN (FROM due)
GROUP BY trace_id;
