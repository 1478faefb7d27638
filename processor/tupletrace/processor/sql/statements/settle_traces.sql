-- Write the rollups of traces that received no span for $quiet_seconds.
CREATE OR REPLACE TEMPORARY TABLE quiet AS
SELECT trace_id
FROM open_traces
GROUP BY trace_id
HAVING max(last_indexed) <= now() - to_milliseconds($quiet_ms);

INSERT INTO settled_llm_calls SELECT * FROM live_llm_calls WHERE trace_id IN (SELECT trace_id FROM quiet);
INSERT INTO settled_layers SELECT * FROM live_layers WHERE trace_id IN (SELECT trace_id FROM quiet);
INSERT INTO settled_traces SELECT * FROM live_traces WHERE trace_id IN (SELECT trace_id FROM quiet);
INSERT INTO settled_tuples
SELECT DISTINCT t.tuple_id, l.layer, l.name, l.version, l.provenance
FROM live_traces AS t
JOIN live_layers AS l ON l.trace_id = t.trace_id
WHERE t.trace_id IN (SELECT trace_id FROM quiet)
  AND t.tuple_id NOT IN (SELECT tuple_id FROM settled_tuples);
DELETE FROM open_traces WHERE trace_id IN (SELECT trace_id FROM quiet);
