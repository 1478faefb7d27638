-- What log records say (registered as `told`) -> their spans, where these do not say it themselves.
UPDATE spans SET
    finish_reasons = coalesce(spans.finish_reasons, told.finish_reasons),
    response_id = coalesce(spans.response_id, told.response_id),
    request_model = coalesce(spans.request_model, told.request_model),
    response_model = coalesce(spans.response_model, told.response_model),
    service_tier = coalesce(spans.service_tier, told.service_tier),
    input_messages = coalesce(spans.input_messages, told.input_messages),
    output_messages = coalesce(spans.output_messages, told.output_messages),
    system_instructions = coalesce(spans.system_instructions, told.system_instructions),
    tool_definitions = coalesce(spans.tool_definitions, told.tool_definitions),
    prompt_template = coalesce(spans.prompt_template, told.prompt_template),
    conversation_id = coalesce(spans.conversation_id, told.conversation_id),
    user_id = coalesce(spans.user_id, told.user_id),
    error_type = coalesce(spans.error_type, told.error_type),
    input_tokens = coalesce(spans.input_tokens, whole_number(told.input_tokens)),
    output_tokens = coalesce(spans.output_tokens, whole_number(told.output_tokens)),
    cache_read_input_tokens = coalesce(spans.cache_read_input_tokens, whole_number(told.cache_read_input_tokens)),
    cache_write_input_tokens = coalesce(spans.cache_write_input_tokens, whole_number(told.cache_write_input_tokens)),
    reasoning_output_tokens = coalesce(spans.reasoning_output_tokens, whole_number(told.reasoning_output_tokens)),
    prompt_name = CASE WHEN spans.prompt_version IS NULL THEN coalesce(spans.prompt_name, told.prompt_name) ELSE spans.prompt_name END,
    prompt_version = coalesce(spans.prompt_version, told.prompt_version),
    prompt_provenance = CASE
        WHEN spans.prompt_version IS NULL AND told.prompt_version IS NOT NULL
            THEN coalesce(told.prompt_provenance, 'declared')
        ELSE spans.prompt_provenance
    END,
    prompt_reason = CASE WHEN spans.prompt_version IS NULL THEN told.prompt_reason END,
    tools_names = CASE
        WHEN spans.tools_version IS NULL
            THEN coalesce(array_to_string(TRY_CAST(told.tools_names AS VARCHAR[]), ', '), spans.tools_names)
        ELSE spans.tools_names
    END,
    tools_version = coalesce(spans.tools_version, told.tools_version)
FROM told
WHERE spans.trace_id = told.trace_id
  AND spans.span_id = told.span_id
  AND spans.day >= (SELECT CAST(make_timestamp(min(first_unix_nano) // 1000) AS DATE) - 1 FROM told);

-- Settled traces of which something new was said.
INSERT INTO open_traces
SELECT trace_id, first_seq
FROM settled_traces
WHERE trace_id IN (SELECT trace_id FROM told);
