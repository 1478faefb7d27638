-- A span that arrives makes its trace's rollups stale: they are computed live until the trace is quiet again.
CREATE OR REPLACE TEMPORARY TABLE arrived AS
SELECT trace_id, min(CAST(make_timestamp(start_unix_nano // 1000) AS DATE)) AS first_day
FROM batch
GROUP BY trace_id;

-- A call in a trace of its own may be one that a settled trace knows, or the other way round.
INSERT INTO arrived
SELECT settled.trace_id, settled.day
FROM batch
JOIN settled_llm_calls AS calls
    ON calls.input_tokens = whole_number(batch.input_tokens)
    AND calls.output_tokens = whole_number(batch.output_tokens)
    AND calls.trace_id <> batch.trace_id
    AND calls.start_time < make_timestamptz((batch.start_unix_nano + batch.duration_ns) // 1000)
    AND calls.start_time + to_microseconds(calls.duration_ns // 1000) > make_timestamptz(batch.start_unix_nano // 1000)
JOIN settled_traces AS settled ON settled.trace_id = calls.trace_id
WHERE batch.operation_name IN ('chat', 'text_completion', 'generate_content', 'embeddings')
  AND (batch.parent_span_id IS NULL) <> (settled.spans = 1 AND settled.has_root)
GROUP BY settled.trace_id, settled.day
HAVING settled.trace_id NOT IN (SELECT trace_id FROM arrived);

DELETE FROM settled_llm_calls WHERE trace_id IN (SELECT trace_id FROM arrived);
DELETE FROM settled_usage_roles WHERE trace_id IN (SELECT trace_id FROM arrived);
DELETE FROM settled_layers WHERE trace_id IN (SELECT trace_id FROM arrived);

INSERT INTO open_traces
SELECT
    arrived.trace_id,
    least(arrived.first_day, coalesce(open.first_day, arrived.first_day), coalesce(settled.day, arrived.first_day)),
    now()
FROM arrived
LEFT JOIN (SELECT trace_id, min(first_day) AS first_day FROM open_traces GROUP BY trace_id) AS open
    ON open.trace_id = arrived.trace_id
LEFT JOIN settled_traces AS settled ON settled.trace_id = arrived.trace_id;

DELETE FROM settled_traces WHERE trace_id IN (SELECT trace_id FROM arrived);
