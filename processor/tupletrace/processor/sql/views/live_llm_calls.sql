-- LLM calls of open traces, each counted once: a call that wraps another call is not one,
-- and two spans with one response id are one call.
CREATE OR REPLACE VIEW live_llm_calls AS
WITH candidates AS (
    SELECT *
    FROM spans
    WHERE operation_name IN ('chat', 'text_completion', 'generate_content', 'embeddings')
      AND trace_id IN (SELECT trace_id FROM open_traces)
      AND day >= (SELECT min(first_day) FROM open_traces)
),
wrappers AS (
    SELECT DISTINCT inner_call.trace_id, inner_call.parent_span_id AS span_id
    FROM candidates AS inner_call
    WHERE inner_call.input_tokens IS NOT NULL OR inner_call.output_tokens IS NOT NULL
),
ranked AS (
    SELECT
        calls.*,
        row_number() OVER (
            PARTITION BY calls.trace_id, coalesce(calls.response_id, calls.span_id || ' ' || calls.start_unix_nano)
            ORDER BY calls.start_unix_nano DESC, calls.span_id
        ) AS description
    FROM candidates AS calls
    LEFT JOIN wrappers ON wrappers.trace_id = calls.trace_id AND wrappers.span_id = calls.span_id
    WHERE wrappers.span_id IS NULL
)
SELECT
    trace_id,
    span_id,
    service_name,
    start_time,
    duration_ns,
    status_code,
    error_type,
    operation_name,
    provider_name,
    request_model,
    response_model,
    model_revision,
    service_tier,
    response_id,
    finish_reasons,
    time_to_first_chunk_s,
    prompt_name,
    prompt_version,
    prompt_provenance,
    retriever_name,
    retriever_version,
    tools_names,
    tools_version,
    agent_name,
    agent_step,
    conversation_id,
    user_id,
    route,
    input_tokens,
    input_tokens - coalesce(cache_read_input_tokens, 0) - coalesce(cache_write_input_tokens, 0)
        AS input_uncached_tokens,
    cache_read_input_tokens AS cache_read_tokens,
    cache_write_input_tokens AS cache_write_tokens,
    output_tokens,
    reasoning_output_tokens AS reasoning_tokens,
    CASE
        WHEN usage_unreadable THEN 'inconsistent'
        WHEN input_tokens IS NULL AND output_tokens IS NULL THEN 'absent'
        WHEN coalesce(input_tokens, 0) < coalesce(cache_read_input_tokens, 0) + coalesce(cache_write_input_tokens, 0)
            OR coalesce(output_tokens, 0) < coalesce(reasoning_output_tokens, 0)
            THEN 'inconsistent'
        ELSE 'reported'
    END AS usage_status
FROM ranked
WHERE description = 1;
