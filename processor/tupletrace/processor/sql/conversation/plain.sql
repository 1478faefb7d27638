-- Messages in the common shapes: texts, tool calls and what tools answered. Most are, and the query for all others
-- takes 50 ms to be planned, whatever there is to read. A value stays the JSON that it is: none is written again.
CREATE MACRO call_shape() AS '"call_id":"JSON","toolCallId":"JSON","tool_call_id":"JSON","id":"JSON","tool_id":"JSON",
    "toolUseId":"JSON","ref":"JSON","name":"JSON","toolName":"JSON","tool_name":"JSON","arguments":"JSON","input":"JSON",
    "args":"JSON","tool_kwargs":"JSON","function":{"name":"JSON","arguments":"JSON"},"tool_arguments":"JSON",
    "parameters":"JSON","tool_call":"JSON"';

CREATE MACRO block_shape() AS call_shape() || ',"type":"JSON","text":"JSON","tool_use_id":"JSON","response":"JSON",
    "output":"JSON","result":"JSON","content":"JSON","thought":"JSON","toolUse":"JSON","functionCall":"JSON",
    "function_call":"JSON","toolRequest":"JSON","toolResult":"JSON","functionResponse":"JSON","function_response":"JSON",
    "toolResponse":"JSON"';

CREATE MACRO message_shape() AS '{"role":"JSON","type":"JSON","content":"JSON","parts":"JSON","blocks":"JSON",
    "tool_calls":"JSON","toolCalls":"JSON","function_call":"JSON","tool_call_id":"JSON","reasoning":"JSON",
    "reasoning_content":"JSON","text":"JSON","refusal":"JSON","message":"JSON","kwargs":"JSON",
    "additional_kwargs":{"tool_calls":"JSON","function_call":"JSON","reasoning_content":"JSON"},
    "finish_reason":"JSON","finishReason":"JSON","stop_reason":"JSON","generation_info":{"finish_reason":"JSON"},
    "response_metadata":{"finish_reason":"JSON"}}';

CREATE MACRO is_text(said) AS starts_with(said, '"');

CREATE MACRO is_nothing(said) AS (said IS NULL OR said IN ('[]', '{}'));

-- Arguments and answers: JSON, be it in a string.
CREATE MACRO packed(said) AS
    coalesce(TRY(json(CASE WHEN regexp_matches(said, '^"(\\[tnfr]| )*[\[{]') THEN said ->> '$' END)), said);

CREATE MACRO plain_text(said) AS '{"type":"text","content":' || said || '}';

-- NULL where there is more to it: then it is none of these.
CREATE MACRO plain_call(id, name, arguments) AS CASE WHEN is_text(name) AND coalesce(is_text(id), TRUE)
    THEN '{"type":"tool_call","id":' || coalesce(id, 'null') || ',"name":' || name
        || ',"arguments":' || coalesce(packed(arguments), 'null') || '}'
END;

CREATE MACRO plain_answer(id, said) AS CASE WHEN is_text(id) AND said IS NOT NULL AND NOT starts_with(said, '[')
    THEN '{"type":"tool_call_response","id":' || id || ',"response":' || packed(said) || '}'
END;

CREATE MACRO call_in(c) AS CASE WHEN c.tool_call IS NULL THEN plain_call(
    coalesce(c.call_id, c.toolCallId, c.tool_call_id, c.id, c.tool_id, c.toolUseId, c.ref),
    coalesce(c.name, c.toolName, c.tool_name, c.function.name),
    coalesce(c.arguments, c.input, c.args, c.tool_kwargs, c.function.arguments, c.tool_arguments, c.parameters)
) END;

-- Vercel says beside an answer what it is.
CREATE MACRO answer_in(said) AS CASE
    WHEN (said ->> '$.type') IN ('text', 'json', 'error-text', 'error-json') THEN nullif(json_extract(said, '$.value'), 'null')
    ELSE said
END;

CREATE MACRO part_in(b) AS CASE
    WHEN coalesce(
        b.thought, b.toolUse, b.functionCall, b.function_call, b.toolRequest, b.toolResult, b.functionResponse,
        b.function_response, b.toolResponse
    ) IS NOT NULL THEN NULL
    WHEN b.type = '"text"' THEN CASE WHEN is_text(b.text) AND b.text <> '""' THEN plain_text(b.text) END
    WHEN b.type IN ('"tool-call"', '"tool_use"', '"tool_call"') THEN call_in(b)
    WHEN b.type IN ('"tool-result"', '"tool_result"') THEN plain_answer(
        coalesce(b.tool_use_id, b.call_id, b.toolCallId, b.tool_call_id, b.id, b.toolUseId, b.ref),
        answer_in(coalesce(b.response, b.output, b.result, b.content))
    )
END;

-- The parts of a message in the conventions' shape; an answer's stand under the role of a tool.
CREATE MACRO plain_parts(role, answers, content, calls, blocks) AS CASE
    WHEN list_count(calls) < len(calls) OR starts_with(content, '"[{') THEN NULL
    WHEN role = '"tool"' AND is_text(content) AND content <> '""' AND len(calls) = 0
        THEN [plain_answer(answers, content)]
    WHEN NOT is_nothing(answers) OR role NOT IN ('"system"', '"user"', '"assistant"', '"tool"') THEN NULL
    WHEN blocks IS NOT NULL THEN CASE
        WHEN len(calls) = 0 AND (role <> '"tool"' OR starts_with(blocks[1], '{"type":"tool_call_response"')) THEN blocks
    END
    WHEN role = '"tool"' THEN NULL
    WHEN is_text(content) AND content <> '""' THEN list_prepend(plain_text(content), calls)
    WHEN content IS NULL OR content = '""' THEN calls
END;

CREATE MACRO plain_message(side, role, parts, finish) AS CASE WHEN len(parts) > 0 AND list_count(parts) = len(parts)
    THEN '{"role":' || role || ',"parts":[' || array_to_string(parts, ',') || ']'
        || CASE WHEN finish IS NULL OR side = 'input' THEN '' ELSE ',"finish_reason":' || to_json(finish) END || '}'
END;
