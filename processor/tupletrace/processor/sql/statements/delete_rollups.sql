-- Rollups of traces that were settled and are open again.
DELETE FROM settled_llm_calls
WHERE settled_seq >= (SELECT min(settled_seq) FROM reopened)
  AND trace_id IN (SELECT trace_id FROM reopened);

DELETE FROM settled_usage_roles
WHERE settled_seq >= (SELECT min(settled_seq) FROM reopened)
  AND trace_id IN (SELECT trace_id FROM reopened);

DELETE FROM settled_layers
WHERE settled_seq >= (SELECT min(settled_seq) FROM reopened)
  AND trace_id IN (SELECT trace_id FROM reopened);

DELETE FROM settled_traces
WHERE settled_seq >= (SELECT min(settled_seq) FROM reopened)
  AND trace_id IN (SELECT trace_id FROM reopened);
