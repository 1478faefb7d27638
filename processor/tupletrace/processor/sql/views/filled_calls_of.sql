-- LLM calls of the traces of `members`, each counted once. What the counted span does not say is filled from the spans that
-- describe the same call, and then from what these are within (`ancestors`, see ancestors_of): `inherited` names the
-- columns that were.
CREATE OR REPLACE MACRO filled_calls_of(members, roles, ancestors) AS TABLE
WITH roles AS MATERIALIZED (
    SELECT * FROM query_table(roles) WHERE usage_role = 'leaf' OR duplicate_of IS NOT NULL
),
described AS (
    SELECT
        calls.*,
        coalesce(roles.duplicate_of_trace_id, roles.trace_id) AS call_trace_id,
        coalesce(roles.duplicate_of, roles.span_id) AS call_id,
        roles.usage_role = 'leaf' AS counts,
        {
            'name': calls.prompt_name,
            'version': calls.prompt_version,
            'provenance': calls.prompt_provenance
        } AS prompt
    FROM roles
    JOIN call_spans_of(members) AS calls
        ON calls.trace_id = roles.trace_id
        AND calls.span_id = roles.span_id
        AND calls.start_unix_nano = roles.start_unix_nano
),
-- A template that was run before a call, beside one of its spans (LangChain's sequences), made its prompt.
renders AS (
    SELECT
        described.call_trace_id AS trace_id,
        described.call_id,
        arg_max(
            {'name': run.prompt_name, 'version': run.prompt_version, 'provenance': run.prompt_provenance},
            run.start_unix_nano
        ) AS prompt,
        count(*) AS templates
    FROM described
    JOIN query_table(members) AS run
        ON run.trace_id = described.trace_id
        AND run.day = described.day
        AND run.parent_span_id = described.parent_span_id
        AND run.start_unix_nano <= described.start_unix_nano
        AND (run.prompt_version IS NOT NULL OR run.name LIKE '%PromptTemplate')
        AND coalesce(run.operation_name, 'prompt') = 'prompt'
    WHERE NOT described.embeds
    GROUP BY described.call_trace_id, described.call_id
),
-- The framework's span, which began first, knows best what the call is within.
within_what AS (
    SELECT
        described.call_trace_id AS trace_id,
        described.call_id,
        arg_min(above.agent_name, (described.start_unix_nano, distance)) AS agent_name,
        arg_min(above.conversation_id, (described.start_unix_nano, distance)) AS conversation_id,
        arg_min(above.user_id, (described.start_unix_nano, distance)) AS user_id,
        arg_min(above.tags, (described.start_unix_nano, distance)) AS tags,
        arg_min(above.tools, (described.start_unix_nano, distance)) AS tools,
        arg_min(
            CASE WHEN above.operation_name = 'invoke_agent' AND distance > 0 THEN above.ancestor_id END,
            (described.start_unix_nano, distance)
        ) AS run_id,
        bool_or(above.graph_node IS NOT NULL) AS in_graph
    FROM described
    JOIN query_table(ancestors) AS above ON above.trace_id = described.trace_id AND above.span_id = described.span_id
    GROUP BY described.call_trace_id, described.call_id
),
others AS (
    SELECT
        call_trace_id AS trace_id,
        call_id,
        max(provider_name) AS provider_name,
        max(request_model) AS request_model,
        arg_max({'model': response_model, 'revision': model_revision}, length(response_model)) AS answered,
        max(service_tier) AS service_tier,
        max(response_id) AS response_id,
        max(finish_reasons) AS finish_reasons,
        min(time_to_first_chunk_s) AS time_to_first_chunk_s,
        arg_max(
            prompt,
            CASE
                WHEN prompt_provenance = 'declared' THEN 4
                WHEN prompt_version LIKE 'text-%' THEN CASE WHEN prompt_name IS NULL THEN 1 ELSE 2 END
                WHEN prompt_version IS NOT NULL THEN 3
            END
        ) AS prompt,
        max(retriever_name) AS retriever_name,
        max(retriever_version) AS retriever_version,
        arg_max({'names': tools_names, 'version': tools_version}, tools_version) AS tools,
        max(agent_name) AS agent_name,
        max(agent_step) AS agent_step,
        max(conversation_id) AS conversation_id,
        max(user_id) AS user_id,
        max(route) AS route,
        arg_max(
            {'input': input_tokens, 'output': output_tokens, 'dialect': dialect, 'scope': scope_name},
            coalesce(input_tokens, output_tokens)
        ) AS used,
        max(total_tokens) AS total_tokens,
        arg_max(
            {'input': estimated_input_tokens, 'output': estimated_output_tokens, 'by': estimated_by}, estimated_by
        ) AS estimated,
        max(cache_read_input_tokens) AS cache_read_input_tokens,
        max(cache_write_input_tokens) AS cache_write_input_tokens,
        max(cache_write_5m_input_tokens) AS cache_write_5m_input_tokens,
        max(cache_write_1h_input_tokens) AS cache_write_1h_input_tokens,
        max(audio_input_tokens) AS audio_input_tokens,
        max(audio_cache_read_input_tokens) AS audio_cache_read_input_tokens,
        max(image_input_tokens) AS image_input_tokens,
        max(reasoning_output_tokens) AS reasoning_output_tokens,
        max(audio_output_tokens) AS audio_output_tokens,
        max(image_output_tokens) AS image_output_tokens,
        max(images) AS images,
        max(reported_cost_usd) AS reported_cost_usd,
        max(workflow_name) AS workflow_name,
        max(tags) AS tags
    FROM described
    WHERE NOT counts
    GROUP BY call_trace_id, call_id
)
SELECT
    -- A framework repeats the name that was asked for; the client knows which revision answered.
    calls.response_model IS NULL
        OR coalesce(starts_with(others.answered.revision, calls.response_model), FALSE) AS names_more,
    calls.trace_id,
    calls.span_id,
    calls.parent_span_id IS NULL AS is_root,
    calls.service_name,
    calls.start_time,
    calls.start_unix_nano,
    calls.end_unix_nano,
    calls.duration_ns,
    calls.status_code,
    calls.error_type,
    calls.operation_name,
    CASE WHEN calls.has_usage THEN calls.dialect ELSE others.used.dialect END AS dialect,
    CASE WHEN calls.has_usage THEN calls.scope_name ELSE others.used.scope END AS scope_name,
    coalesce(calls.provider_name, others.provider_name) AS provider_name,
    coalesce(calls.request_model, others.request_model) AS request_model,
    CASE WHEN names_more THEN others.answered.model ELSE calls.response_model END AS response_model,
    CASE WHEN names_more THEN others.answered.revision ELSE calls.model_revision END AS model_revision,
    coalesce(calls.service_tier, others.service_tier) AS service_tier,
    coalesce(calls.response_id, others.response_id) AS response_id,
    coalesce(calls.finish_reasons, others.finish_reasons) AS finish_reasons,
    coalesce(calls.time_to_first_chunk_s, others.time_to_first_chunk_s) AS time_to_first_chunk_s,
    CASE
        WHEN calls.prompt_provenance = 'declared' THEN calls.prompt
        WHEN others.prompt.provenance = 'declared' THEN others.prompt
        WHEN renders.templates > 0 AND coalesce(calls.prompt_version, 'text-') LIKE 'text-%'
            AND coalesce(others.prompt.version, 'text-') LIKE 'text-%'
            THEN renders.prompt
        -- A template says more than its rendering, and one with a name more than one without.
        WHEN coalesce(calls.prompt_version, 'text-') LIKE 'text-%' AND others.prompt.version IS NOT NULL
            AND (
                calls.prompt_version IS NULL
                OR others.prompt.version NOT LIKE 'text-%'
                OR (calls.prompt_name IS NULL AND others.prompt.name IS NOT NULL)
            )
            THEN others.prompt
        ELSE calls.prompt
    END AS prompt,
    CASE WHEN renders.templates > 0 THEN 'no template on span: only its rendering' ELSE calls.prompt_reason END
        AS prompt_reason,
    coalesce(calls.retriever_name, others.retriever_name) AS retriever_name,
    coalesce(calls.retriever_version, others.retriever_version) AS retriever_version,
    CASE
        WHEN calls.tools_version IS NOT NULL THEN {'names': calls.tools_names, 'version': calls.tools_version}
        ELSE coalesce(others.tools, within_what.tools)
    END AS tools,
    coalesce(calls.agent_name, others.agent_name, within_what.agent_name) AS agent_name,
    coalesce(calls.agent_step, others.agent_step) AS agent_step,
    coalesce(calls.conversation_id, others.conversation_id, within_what.conversation_id) AS conversation_id,
    coalesce(calls.user_id, others.user_id, within_what.user_id) AS user_id,
    coalesce(calls.route, others.route) AS route,
    CASE WHEN calls.has_usage THEN calls.input_tokens ELSE others.used.input END AS input_tokens,
    CASE WHEN calls.has_usage THEN calls.output_tokens ELSE others.used.output END AS output_tokens,
    coalesce(calls.total_tokens, others.total_tokens) AS total_tokens,
    CASE
        WHEN calls.estimated_by IS NULL THEN others.estimated
        ELSE {
            'input': calls.estimated_input_tokens,
            'output': calls.estimated_output_tokens,
            'by': calls.estimated_by
        }
    END AS estimated,
    calls.usage_unreadable,
    coalesce(calls.cache_read_input_tokens, others.cache_read_input_tokens) AS cache_read_tokens,
    coalesce(calls.cache_write_input_tokens, others.cache_write_input_tokens) AS cache_write_tokens,
    coalesce(calls.cache_write_5m_input_tokens, others.cache_write_5m_input_tokens) AS cache_write_5m_tokens,
    coalesce(calls.cache_write_1h_input_tokens, others.cache_write_1h_input_tokens) AS cache_write_1h_tokens,
    coalesce(calls.audio_input_tokens, others.audio_input_tokens) AS audio_tokens,
    coalesce(calls.audio_cache_read_input_tokens, others.audio_cache_read_input_tokens) AS audio_cache_read_tokens,
    coalesce(calls.image_input_tokens, others.image_input_tokens) AS image_input_tokens,
    coalesce(calls.reasoning_output_tokens, others.reasoning_output_tokens) AS reasoning_tokens,
    coalesce(calls.audio_output_tokens, others.audio_output_tokens) AS audio_output_tokens,
    coalesce(calls.image_output_tokens, others.image_output_tokens) AS image_output_tokens,
    CASE WHEN calls.status_code <> 'ERROR' THEN coalesce(calls.images, others.images) END AS images,
    coalesce(calls.reported_cost_usd, others.reported_cost_usd) AS reported_cost_usd,
    coalesce(calls.workflow_name, others.workflow_name) AS workflow_name,
    coalesce(calls.tags, others.tags, within_what.tags) AS tags,
    [
        CASE WHEN coalesce(calls.agent_name, others.agent_name) IS NULL AND within_what.agent_name IS NOT NULL
            THEN 'agent_name' END,
        CASE WHEN coalesce(calls.conversation_id, others.conversation_id) IS NULL
                AND within_what.conversation_id IS NOT NULL
            THEN 'conversation_id' END,
        CASE WHEN coalesce(calls.user_id, others.user_id) IS NULL AND within_what.user_id IS NOT NULL
            THEN 'user_id' END,
        CASE WHEN coalesce(calls.tags, others.tags) IS NULL AND within_what.tags IS NOT NULL THEN 'tags' END,
        CASE WHEN calls.tools_version IS NULL AND others.tools IS NULL AND within_what.tools IS NOT NULL
            THEN 'tools_names' END
    ] AS inherited,
    within_what.run_id,
    within_what.in_graph
FROM described AS calls
LEFT JOIN renders ON renders.trace_id = calls.trace_id AND renders.call_id = calls.span_id
LEFT JOIN others ON others.trace_id = calls.trace_id AND others.call_id = calls.span_id
LEFT JOIN within_what ON within_what.trace_id = calls.trace_id AND within_what.call_id = calls.span_id
WHERE calls.counts;
