-- Settled traces that are open again: a span of theirs has arrived, or a call in another trace that may be the
-- other half of one of their calls (see lost_parents_of). $since: as in fresh_spans.
CREATE OR REPLACE TEMPORARY TABLE reopened AS
WITH arrived AS (
    SELECT
        trace_id,
        parent_span_id IS NULL AS is_root,
        whole_number(input_tokens) AS input_tokens,
        whole_number(output_tokens) AS output_tokens,
        response_id,
        make_timestamptz(start_unix_nano // 1000) AS start_time,
        make_timestamptz((start_unix_nano + duration_ns) // 1000) AS end_time
    FROM batch
    WHERE operation_name IN ('chat', 'text_completion', 'generate_content', 'embeddings')
      AND (input_tokens IS NOT NULL OR response_id IS NOT NULL)
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
        AND calls.start_time <= arrived.end_time
        AND calls.start_time + to_microseconds(calls.duration_ns // 1000 + 1) >= arrived.start_time
    WHERE calls.start_time >= (SELECT min(start_time) - INTERVAL 1 MINUTE FROM arrived)
)
SELECT trace_id, first_seq, settled_seq
FROM settled_traces
WHERE settled_seq >= $since
  AND trace_id IN (SELECT trace_id FROM batch)
UNION
SELECT settled.trace_id, settled.first_seq, settled.settled_seq
FROM halves
JOIN settled_traces AS settled ON settled.trace_id = halves.trace_id AND settled.settled_seq = halves.settled_seq;

INSERT INTO open_traces
SELECT trace_id, first_seq, now() FROM reopened;
