-- LLM calls (`filled_calls_of`) with tokens in disjoint buckets, whatever their dialect counts into what, and with the step
-- that was counted (`agent_steps_of`) where none was told.
CREATE OR REPLACE MACRO calls_by(calls, steps) AS TABLE
WITH measured AS (
    SELECT
        * REPLACE (
            -- Nothing in and nothing out is what Logfire says of an agent's answer whose usage it does not know.
            CASE WHEN dialect IS DISTINCT FROM 'logfire' OR input_tokens > 0 OR output_tokens > 0 THEN input_tokens END
                AS input_tokens,
            CASE WHEN dialect IS DISTINCT FROM 'logfire' OR input_tokens > 0 OR output_tokens > 0 THEN output_tokens END
                AS output_tokens,
            -- Gemini's total alone may hold what was thought.
            CASE
                WHEN provider_name IN ('gcp.gemini', 'gcp.vertex_ai', 'gcp.gen_ai')
                    AND coalesce(reasoning_tokens, 0) = 0
                    AND total_tokens > input_tokens + output_tokens
                    THEN total_tokens - input_tokens - output_tokens
                ELSE reasoning_tokens
            END AS reasoning_tokens
        ),
        coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0) AS cached_tokens,
        -- Of what is cached only the text is left in the bucket of its own.
        coalesce(audio_tokens, 0) - coalesce(audio_cache_read_tokens, 0) AS audio_input_tokens,
        coalesce(audio_tokens, 0) - coalesce(audio_cache_read_tokens, 0) + coalesce(image_input_tokens, 0)
            AS other_input_tokens,
        coalesce(audio_output_tokens, 0) + coalesce(image_output_tokens, 0) AS other_output_tokens,
        coalesce(provider_name, '') IN ('anthropic', 'aws.bedrock') AS bills_apart
    FROM query_table(calls)
),
judged AS (
    SELECT
        *,
        -- Anthropic's and Bedrock's own counts leave cached tokens out; most instrumentations add them.
        coalesce(cached_tokens > 0 AND (
            input_tokens + output_tokens + cached_tokens = total_tokens
            OR (bills_apart AND (
                cached_tokens > input_tokens
                OR dialect = 'openlit'
                OR scope_name LIKE 'opentelemetry.instrumentation.%bedrock%'
            ))
        ), FALSE) AS exclusive,
        coalesce(
            cached_tokens > 0
                AND bills_apart
                AND (
                    dialect IN ('mlflow', 'traceai', 'genai_older')
                    OR (dialect = 'vercel' AND input_tokens + output_tokens IS DISTINCT FROM total_tokens)
                ),
            FALSE
        ) AS unclear
    FROM measured
),
-- xAI's and Gemini's own counts of the output leave out what was thought; most instrumentations add it.
weighed AS (
    SELECT
        *,
        coalesce(reasoning_tokens > 0 AND (
            input_tokens + output_tokens + reasoning_tokens + CASE WHEN exclusive THEN cached_tokens ELSE 0 END
                = total_tokens
            OR (
                provider_name IN ('x_ai', 'gcp.gemini', 'gcp.vertex_ai', 'gcp.gen_ai')
                AND reasoning_tokens > output_tokens
            )
        ), FALSE) AS thinks_apart,
        coalesce(provider_name = 'x_ai' AND reasoning_tokens > 0, FALSE) AND total_tokens IS NULL AS may_think_apart
    FROM judged
),
told AS (
    SELECT
        * REPLACE (
            CASE WHEN exclusive THEN input_tokens + cached_tokens ELSE input_tokens END AS input_tokens,
            CASE WHEN thinks_apart THEN output_tokens + reasoning_tokens ELSE output_tokens END AS output_tokens
        )
    FROM weighed
)
SELECT
    told.trace_id,
    told.span_id,
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
    -- A system text has no name of its own; the agent whose it is has.
    CASE WHEN prompt.version LIKE 'text-%' THEN coalesce(prompt.name, agent_name) ELSE prompt.name END AS prompt_name,
    prompt.version AS prompt_version,
    prompt.provenance AS prompt_provenance,
    CASE WHEN prompt.version IS NULL THEN prompt_reason END AS prompt_reason,
    retriever_name,
    retriever_version,
    tools.names AS tools_names,
    tools.version AS tools_version,
    agent_name,
    coalesce(agent_step, counted.step) AS agent_step,
    conversation_id,
    user_id,
    route,
    input_tokens,
    input_tokens - cached_tokens - other_input_tokens AS input_uncached_tokens,
    cache_read_tokens,
    cache_write_tokens,
    cache_write_5m_tokens,
    cache_write_1h_tokens,
    CASE WHEN audio_tokens IS NOT NULL THEN audio_input_tokens END AS audio_input_tokens,
    audio_cache_read_tokens,
    image_input_tokens,
    output_tokens,
    output_tokens - coalesce(reasoning_tokens, 0) - other_output_tokens AS output_text_tokens,
    reasoning_tokens,
    audio_output_tokens,
    image_output_tokens,
    images,
    CASE
        WHEN usage_unreadable THEN 'inconsistent'
        WHEN input_tokens IS NULL AND output_tokens IS NULL THEN 'absent'
        WHEN coalesce(input_tokens, 0) < other_input_tokens + cached_tokens THEN 'inconsistent'
        WHEN audio_input_tokens < 0 OR coalesce(cache_read_tokens, 0) < coalesce(audio_cache_read_tokens, 0)
            THEN 'inconsistent'
        WHEN coalesce(cache_write_tokens, 0) < coalesce(cache_write_5m_tokens, 0) + coalesce(cache_write_1h_tokens, 0)
            THEN 'inconsistent'
        WHEN coalesce(output_tokens, 0) < coalesce(reasoning_tokens, 0) + other_output_tokens THEN 'inconsistent'
        WHEN (unclear AND NOT exclusive) OR (may_think_apart AND NOT thinks_apart) THEN 'ambiguous'
        ELSE 'reported'
    END AS usage_status,
    reported_cost_usd,
    workflow_name,
    tags,
    nullif(
        list_filter(
            list_append(inherited, CASE WHEN agent_step IS NULL AND counted.step IS NOT NULL THEN 'agent_step' END),
            lambda one: one IS NOT NULL
        ),
        []
    ) AS inherited,
    is_root,
    -- While the content was there: later it cannot be estimated again.
    CASE WHEN usage_status = 'absent' THEN estimated.input END AS estimated_input_tokens,
    CASE WHEN usage_status = 'absent' THEN estimated.output END AS estimated_output_tokens,
    CASE WHEN usage_status = 'absent' THEN estimated.by END AS estimated_by
FROM told
LEFT JOIN query_table(steps) AS counted ON counted.trace_id = told.trace_id AND counted.span_id = told.span_id;
