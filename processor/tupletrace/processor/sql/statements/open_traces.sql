-- A span that arrives makes its trace's rollups stale: they are computed live until the trace is quiet again.
INSERT INTO open_traces
SELECT trace_id, min(journal_seq), now()
FROM batch
GROUP BY trace_id;
