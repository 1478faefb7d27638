-- A span that arrives makes its trace's rollups stale. $since: as in fresh_spans.
INSERT INTO open_traces
SELECT trace_id, least(min(journal_seq), CAST($since AS BIGINT))
FROM batch
GROUP BY trace_id;
