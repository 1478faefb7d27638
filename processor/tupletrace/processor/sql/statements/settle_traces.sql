-- Write the rollups of traces that received no span for $quiet_ms milliseconds.
CREATE OR REPLACE TEMPORARY TABLE quiet AS
SELECT trace_id
FROM open_traces
GROUP BY trace_id
HAVING max(last_indexed) <= now() - to_milliseconds($quiet_ms);

INSERT INTO settled_llm_calls SELECT * FROM live_llm_calls WHERE trace_id IN (SELECT trace_id FROM quiet);
INSERT INTO settled_layers SELECT * FROM live_layers WHERE trace_id IN (SELECT trace_id FROM quiet);
INSERT INTO settled_traces SELECT * FROM live_traces WHERE trace_id IN (SELECT trace_id FROM quiet);
DELETE FROM open_traces WHERE trace_id IN (SELECT trace_id FROM quiet);
