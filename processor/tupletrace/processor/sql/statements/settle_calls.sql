-- LLM calls of every open trace: each step once, on what the step before has made.
CREATE OR REPLACE TEMPORARY TABLE settling AS
SELECT opened.trace_id, min(opened.first_seq) AS first_seq, min(settled.settled_seq) AS settled_seq
FROM open_traces AS opened
LEFT JOIN settled_traces AS settled
    ON settled.trace_id = opened.trace_id
    AND settled.settled_seq >= (SELECT min(first_seq) FROM open_traces)
GROUP BY opened.trace_id;

CREATE OR REPLACE TEMPORARY VIEW settling_spans AS
FROM spans_of('settling');

-- Settled traces that may share a call with one of these (see lost_parents_of), or did when they were settled
-- together: none is right without the other.
INSERT INTO settling
WITH RECURSIVE arrived AS MATERIALIZED (
    SELECT
        trace_id,
        parent_span_id IS NULL AS is_root,
        input_tokens,
        output_tokens,
        response_id,
        start_time,
        make_timestamptz(end_unix_nano // 1000) AS end_time
    FROM call_spans_of('settling_spans')
    WHERE input_tokens IS NOT NULL OR response_id IS NOT NULL
),
halves AS (
    SELECT calls.trace_id, calls.settled_seq
    FROM (SELECT * FROM arrived WHERE is_root) AS client
    JOIN settled_llm_calls AS calls
        ON calls.input_tokens = client.input_tokens
        AND calls.output_tokens = client.output_tokens
        AND calls.trace_id <> client.trace_id
        AND calls.start_time <= client.start_time
        AND calls.start_time + to_microseconds(calls.duration_ns // 1000 + 1) >= client.end_time
    WHERE NOT calls.is_root
      AND calls.start_time >= (SELECT min(start_time) - INTERVAL 1 HOUR FROM arrived WHERE is_root)
    UNION
    SELECT calls.trace_id, calls.settled_seq
    FROM (SELECT * FROM arrived WHERE NOT is_root) AS framework
    JOIN settled_llm_calls AS calls
        ON calls.input_tokens = framework.input_tokens
        AND calls.output_tokens = framework.output_tokens
        AND calls.trace_id <> framework.trace_id
        AND calls.start_time >= framework.start_time
        AND calls.start_time < framework.end_time
    WHERE calls.is_root
      AND calls.start_time >= (SELECT min(start_time) FROM arrived WHERE NOT is_root)
    UNION
    SELECT calls.trace_id, calls.settled_seq
    FROM arrived
    JOIN settled_llm_calls AS calls
        ON calls.response_id = arrived.response_id
        AND calls.trace_id <> arrived.trace_id
        -- What counts there may be what fetched it again.
        AND calls.start_time <= arrived.end_time + INTERVAL 1 MINUTE
        AND calls.start_time + to_microseconds(calls.duration_ns // 1000 + 1) >= arrived.start_time
    WHERE calls.start_time >= (SELECT min(start_time) - INTERVAL 1 MINUTE FROM arrived)
),
shared AS MATERIALIZED (
    SELECT trace_id, duplicate_of_trace_id AS other_id, settled_seq
    FROM settled_usage_roles
    WHERE duplicate_of_trace_id IS NOT NULL
    UNION
    SELECT duplicate_of_trace_id, trace_id, settled_seq
    FROM settled_usage_roles
    WHERE duplicate_of_trace_id IS NOT NULL
),
others AS (
    SELECT trace_id, settled_seq FROM halves
    UNION
    SELECT other_id, settled_seq FROM shared WHERE trace_id IN (SELECT trace_id FROM settling)
    UNION
    SELECT shared.other_id, shared.settled_seq FROM others JOIN shared ON shared.trace_id = others.trace_id
)
SELECT trace_id, first_seq, settled_seq
FROM settled_traces
WHERE settled_seq >= (SELECT min(settled_seq) FROM others)
  AND trace_id IN (SELECT trace_id FROM others)
  AND trace_id NOT IN (SELECT trace_id FROM settling);

CREATE OR REPLACE TEMPORARY TABLE settling_lost_parents AS
WITH calls AS MATERIALIZED (
    SELECT
        trace_id, span_id, parent_span_id, name, scope_name, start_unix_nano, end_unix_nano, duration_ns, embeds,
        has_usage, request_model, response_model, input_tokens, output_tokens, response_id, status_code
    FROM call_spans_of('settling_spans')
)
FROM lost_parents_of('calls');

CREATE OR REPLACE TEMPORARY TABLE settling_tangled AS
FROM tangled_of('settling_spans', 'settling_lost_parents');

CREATE OR REPLACE TEMPORARY TABLE settling_ancestors AS
FROM ancestors_of('settling_spans', 'settling_tangled');

CREATE OR REPLACE TEMPORARY TABLE settling_roles AS
FROM usage_roles_of('settling_spans', 'settling_tangled', 'settling_lost_parents', 'settling_ancestors');

CREATE OR REPLACE TEMPORARY TABLE settling_filled AS
FROM filled_calls_of('settling_spans', 'settling_roles', 'settling_ancestors');

CREATE OR REPLACE TEMPORARY TABLE settling_steps AS
FROM agent_steps_of('settling_filled', 'settling_ancestors');

CREATE OR REPLACE TEMPORARY TABLE settling_calls AS
FROM calls_by('settling_filled', 'settling_steps');
