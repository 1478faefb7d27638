-- LLM calls of open traces, each counted once: where one call's span wraps another's, the inner one counts
-- unless only the outer one knows what was used; and two spans with one response id are one call.
CREATE OR REPLACE VIEW live_llm_calls AS
WITH RECURSIVE candidates AS (
    SELECT
        *,
        operation_name = 'embeddings' AS embeds,
        input_tokens IS NOT NULL OR output_tokens IS NOT NULL AS has_usage
    FROM spans
    WHERE operation_name IN ('chat', 'text_completion', 'generate_content', 'embeddings')
      AND trace_id IN (SELECT trace_id FROM open_traces)
      AND day >= (SELECT min(first_day) FROM open_traces)
),
parents AS MATERIALIZED (
    SELECT trace_id, span_id, parent_span_id
    FROM spans
    WHERE parent_span_id IS NOT NULL
      AND trace_id IN (SELECT trace_id FROM open_traces)
      AND day >= (SELECT min(first_day) FROM open_traces)
),
ancestors AS (
    SELECT trace_id, span_id, parent_span_id AS ancestor_id, embeds, has_usage, 1 AS distance
    FROM candidates
    WHERE parent_span_id IS NOT NULL
    UNION ALL
    SELECT a.trace_id, a.span_id, p.parent_span_id, a.embeds, a.has_usage, a.distance + 1
    FROM ancestors AS a
    JOIN parents AS p ON p.trace_id = a.trace_id AND p.span_id = a.ancestor_id
    -- A framework's span is near its client's; and a circle of parents ends.
    WHERE a.distance < 16
),
wrapped AS (
    SELECT
        inner_call.trace_id,
        inner_call.span_id,
        inner_call.has_usage,
        outer_call.span_id AS outer_id,
        outer_call.has_usage AS outer_has_usage
    FROM ancestors AS inner_call
    JOIN candidates AS outer_call
        ON outer_call.trace_id = inner_call.trace_id
        AND outer_call.span_id = inner_call.ancestor_id
        AND outer_call.embeds = inner_call.embeds
    WHERE NOT EXISTS (
        SELECT 1
        FROM ancestors AS circle
        WHERE circle.trace_id = outer_call.trace_id
          AND circle.span_id = outer_call.span_id
          AND circle.ancestor_id = outer_call.span_id
    )
),
wrappers AS (
    SELECT trace_id, outer_id
    FROM wrapped
    GROUP BY trace_id, outer_id
    HAVING bool_or(has_usage) OR NOT bool_or(outer_has_usage)
),
doubles AS (
    SELECT trace_id, outer_id AS span_id FROM wrappers
    UNION
    SELECT trace_id, span_id
    FROM wrapped
    WHERE outer_has_usage
      AND NOT has_usage
      AND NOT EXISTS (
          SELECT 1 FROM wrappers WHERE wrappers.trace_id = wrapped.trace_id AND wrappers.outer_id = wrapped.outer_id
      )
),
ranked AS (
    SELECT
        calls.*,
        row_number() OVER (
            PARTITION BY calls.trace_id, coalesce(calls.response_id, calls.span_id || ' ' || calls.start_unix_nano)
            ORDER BY calls.start_unix_nano DESC, calls.span_id
        ) AS description
    FROM candidates AS calls
    WHERE NOT EXISTS (
        SELECT 1 FROM doubles WHERE doubles.trace_id = calls.trace_id AND doubles.span_id = calls.span_id
    )
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
