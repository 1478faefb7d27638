-- A decoded and normalised batch (registered as `batch`, and its resources as `resources`) without what is
-- stored already -> spans.
INSERT INTO spans BY NAME
SELECT
    b.trace_id,
    b.span_id,
    b.parent_span_id,
    b.name,
    b.kind,
    b.service_name,
    b.scope_name,
    b.scope_version,
    make_timestamptz(b.start_unix_nano // 1000) AS start_time,
    b.start_unix_nano,
    b.duration_ns,
    b.status_code,
    nullif(b.status_message, '') AS status_message,
    b.error_type,
    CAST(make_timestamp(b.start_unix_nano // 1000) AS DATE) AS day,
    b.dialect,
    b.operation_name,
    b.provider_name,
    b.request_model,
    b.response_model,
    CASE
        WHEN b.system_fingerprint IS NULL THEN b.response_model
        ELSE b.response_model || '@' || b.system_fingerprint
    END AS model_revision,
    b.system_fingerprint,
    b.service_tier,
    b.response_id,
    b.finish_reasons,
    whole_number(b.input_tokens) AS input_tokens,
    whole_number(b.output_tokens) AS output_tokens,
    whole_number(b.cache_read_input_tokens) AS cache_read_input_tokens,
    whole_number(b.cache_write_input_tokens) AS cache_write_input_tokens,
    whole_number(b.cache_write_5m_input_tokens) AS cache_write_5m_input_tokens,
    whole_number(b.cache_write_1h_input_tokens) AS cache_write_1h_input_tokens,
    whole_number(b.audio_input_tokens) AS audio_input_tokens,
    whole_number(b.audio_cache_read_input_tokens) AS audio_cache_read_input_tokens,
    whole_number(b.image_input_tokens) AS image_input_tokens,
    whole_number(b.reasoning_output_tokens) AS reasoning_output_tokens,
    whole_number(b.audio_output_tokens) AS audio_output_tokens,
    whole_number(b.image_output_tokens) AS image_output_tokens,
    whole_number(b.images) AS images,
    whole_number(b.total_tokens) AS total_tokens,
    whole_number(b.estimated_input_tokens) AS estimated_input_tokens,
    whole_number(b.estimated_output_tokens) AS estimated_output_tokens,
    b.estimated_by,
    (b.input_tokens IS NOT NULL AND whole_number(b.input_tokens) IS NULL)
        OR (b.output_tokens IS NOT NULL AND whole_number(b.output_tokens) IS NULL)
        OR (b.cache_read_input_tokens IS NOT NULL AND whole_number(b.cache_read_input_tokens) IS NULL)
        OR (b.cache_write_input_tokens IS NOT NULL AND whole_number(b.cache_write_input_tokens) IS NULL)
        OR (b.reasoning_output_tokens IS NOT NULL AND whole_number(b.reasoning_output_tokens) IS NULL)
        OR (b.cache_write_5m_input_tokens IS NOT NULL AND whole_number(b.cache_write_5m_input_tokens) IS NULL)
        OR (b.cache_write_1h_input_tokens IS NOT NULL AND whole_number(b.cache_write_1h_input_tokens) IS NULL)
        OR (b.audio_input_tokens IS NOT NULL AND whole_number(b.audio_input_tokens) IS NULL)
        OR (b.audio_cache_read_input_tokens IS NOT NULL AND whole_number(b.audio_cache_read_input_tokens) IS NULL)
        OR (b.image_input_tokens IS NOT NULL AND whole_number(b.image_input_tokens) IS NULL)
        OR (b.audio_output_tokens IS NOT NULL AND whole_number(b.audio_output_tokens) IS NULL)
        OR (b.image_output_tokens IS NOT NULL AND whole_number(b.image_output_tokens) IS NULL)
        AS usage_unreadable,
    TRY_CAST(b.reported_cost_usd AS DECIMAL(24, 12)) AS reported_cost_usd,
    finite_number(b.time_to_first_chunk_s) AS time_to_first_chunk_s,
    b.input_messages,
    b.input_hash,
    b.output_messages,
    b.system_instructions,
    b.tool_definitions,
    b.prompt_template,
    b.prompt_name,
    b.prompt_version,
    -- Whoever sends a version without saying how it came by it has declared it.
    CASE WHEN b.prompt_version IS NOT NULL THEN coalesce(b.prompt_provenance, 'declared') END AS prompt_provenance,
    b.prompt_reason,
    b.data_source_id,
    b.retriever_name,
    b.retriever_version,
    coalesce(array_to_string(TRY_CAST(b.tools_names AS VARCHAR[]), ', '), b.tools_names) AS tools_names,
    b.tools_version,
    b.tool_name,
    b.tool_call_id,
    b.agent_name,
    whole_number(b.agent_step) AS agent_step,
    b.workflow_name,
    b.graph_node,
    b.graph_path,
    b.conversation_id,
    b.user_id,
    -- LangChain numbers the steps of a chain by tags of its own.
    nullif(list_filter(
        coalesce(TRY_CAST(b.tags AS VARCHAR[]), list_transform(string_split(b.tags, ','), lambda tag: trim(tag))),
        lambda tag: NOT regexp_matches(tag, '^((seq|graph):step|map:key):')
    ), []) AS tags,
    b.route,
    b.http_route,
    nullif(b.trace_state, '') AS trace_state,
    b.flags,
    b.dropped_attributes_count,
    b.dropped_events_count,
    b.dropped_links_count,
    nullif(b.schema_url, '') AS schema_url,
    nullif(b.resource_schema_url, '') AS resource_schema_url,
    b.scope_attributes,
    b.conflicts,
    b.attributes,
    r.resource_attributes,
    b.events,
    b.links,
    b.journal_seq
FROM batch AS b
JOIN resources AS r ON r.place = b.resource;
