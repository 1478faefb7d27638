-- The messages in what somebody wrote: a list, a list of lists (LangChain's batch), the body of a request or of
-- a response, one message, or text.
CREATE MACRO listed(v) AS CASE json_type(v)
    WHEN 'ARRAY' THEN CASE json_type(v, '$[0]')
        WHEN 'ARRAY' THEN elements(json_extract(v, '$[0]'))
        ELSE elements(v)
    END
    WHEN 'OBJECT' THEN CASE
        WHEN json_type(v, '$.messages[0]') = 'ARRAY' THEN elements(json_extract(v, '$.messages[0]'))
        WHEN json_type(v, '$.messages') = 'ARRAY' THEN list_concat(
            CASE WHEN json_type(v, '$.system') IN ('VARCHAR', 'ARRAY')
                THEN [json_object('role', 'system', 'content', json_extract(v, '$.system'))] END,
            elements(json_extract(v, '$.messages'))
        )
        WHEN json_type(v, '$.choices') = 'ARRAY' THEN elements(json_extract(v, '$.choices'))
        WHEN json_type(v, '$.generations[0]') = 'ARRAY' THEN elements(json_extract(v, '$.generations[0]'))
        WHEN json_type(v, '$.generations') = 'ARRAY' THEN elements(json_extract(v, '$.generations'))
        WHEN json_type(v, '$.candidates') = 'ARRAY' THEN elements(json_extract(v, '$.candidates'))
        WHEN json_type(v, '$.contents') = 'ARRAY' THEN elements(json_extract(v, '$.contents'))
        WHEN json_type(v, '$.output') = 'ARRAY' THEN elements(json_extract(v, '$.output'))
        WHEN json_type(v, '$.output.message') = 'OBJECT' THEN [json_extract(v, '$.output.message')]
        WHEN json_type(v, '$.input') = 'ARRAY' OR (json_type(v, '$.input') = 'VARCHAR' AND json_exists(v, '$.model'))
            THEN list_concat(
                CASE WHEN json_type(v, '$.instructions') = 'VARCHAR'
                    THEN [json_object('role', 'system', 'content', json_extract(v, '$.instructions'))] END,
                CASE WHEN json_type(v, '$.input') = 'ARRAY' THEN elements(json_extract(v, '$.input'))
                    ELSE [json_object('role', 'user', 'content', json_extract(v, '$.input'))] END
            )
        WHEN json_type(v, '$.prompt') = 'VARCHAR' THEN list_concat(
            CASE WHEN json_type(v, '$.system') = 'VARCHAR'
                THEN [json_object('role', 'system', 'content', json_extract(v, '$.system'))] END,
            [json_object('role', 'user', 'content', json_extract(v, '$.prompt'))]
        )
        WHEN json_type(v, '$.prompts') = 'ARRAY' THEN elements(json_extract(v, '$.prompts'))
        ELSE [v]
    END
    WHEN 'VARCHAR' THEN [v]
END;

-- `blobs` (span, side, said): messages, one message, the body of a request or a response, or plain text.
-- `cells` (span, side, message, field, number, sub, value): attributes whose keys are indexed; `number` says
-- which part or tool call of the message, `sub` what of it.
CREATE MACRO conversations(blobs, cells) AS TABLE
WITH opened_blobs AS MATERIALIZED (
    SELECT
        span,
        side,
        listed(CASE WHEN json_valid(said) AND NOT regexp_matches(said, '^\s*[-0-9tfn]')
            THEN CAST(said AS JSON) ELSE to_json(said) END) AS messages
    FROM query_table(blobs)
),
wrapped AS (
    SELECT span, side, unnest(messages) AS said, unnest(range(len(messages))) AS message
    FROM opened_blobs
),
-- A choice of OpenAI's, LangChain's constructor, OpenInference's own wrapping, Gemini's candidate.
unwrapped AS MATERIALIZED (
    SELECT
        span,
        side,
        message,
        coalesce(
            said ->> 'finish_reason', said ->> 'finishReason', said ->> 'stop_reason',
            said ->> '$.generation_info.finish_reason', said ->> '$.message.kwargs.response_metadata.finish_reason'
        ) AS finish,
        said ->> 'type' AS item,
        -- LangChain's in JavaScript name their class only.
        CASE WHEN (said ->> 'type') = 'constructor' THEN said ->> '$.id[#-1]' END AS class,
        coalesce(
            json_extract(said, '$.message.kwargs'),
            CASE WHEN json_type(said, '$.message') = 'OBJECT' THEN json_extract(said, '$.message') END,
            CASE WHEN json_type(said, '$.message') IN ('ARRAY', 'VARCHAR')
                THEN json_object('role', json_extract(said, '$.role'), 'content', json_extract(said, '$.message')) END,
            json_extract(said, '$.kwargs'),
            CASE WHEN json_type(said, '$.content.parts') = 'ARRAY' THEN json_extract(said, '$.content') END,
            CASE WHEN json_type(said) = 'VARCHAR' THEN json_object('content', said) END,
            said
        ) AS said
    FROM wrapped
    WHERE json_type(said) IN ('OBJECT', 'VARCHAR')
),
read AS MATERIALIZED (
    SELECT
        span, side, message, finish, item, class, said,
        json_extract(said, [
            '$.role', '$.type', '$.content', '$.blocks', '$.parts', '$.tool_calls', '$.additional_kwargs.tool_calls',
            '$.function_call', '$.additional_kwargs.function_call', '$.tool_call_id', '$.additional_kwargs.tool_call_id',
            '$.id', '$.reasoning_content', '$.reasoning', '$.toolCalls', '$.text', '$.additional_kwargs.reasoning_content',
            '$.author', '$.tool_use_id', '$.refusal'
        ]) AS f
    FROM unwrapped
),
cell_parts AS (
    SELECT
        span, side, message,
        list(part ORDER BY number) FILTER (field = 'part') AS content,
        list(part ORDER BY number) FILTER (field = 'call') AS calls
    FROM (
        SELECT span, side, message, field, number, json_group_object(sub, value) AS part
        FROM query_table(cells)
        WHERE number >= 0
        GROUP BY span, side, message, field, number
    ) AS gathered
    GROUP BY span, side, message
),
cell_heads AS (
    SELECT
        span, side, message,
        max(value) FILTER (field = 'finish') AS finish,
        max(value) FILTER (field = 'role') AS role,
        max(value) FILTER (field = 'tool_call_id') AS answers,
        max(value) FILTER (field = 'content') AS content,
        max(value) FILTER (field = 'reasoning') AS reasoning,
        max(value) FILTER (field = 'calls' AND json_valid(value)) AS calls,
        max(value) FILTER (field = 'function_name') AS function_name,
        max(value) FILTER (field = 'function_arguments') AS function_arguments
    FROM query_table(cells)
    GROUP BY span, side, message
),
heads AS MATERIALIZED (
    SELECT
        span, side, message, finish,
        coalesce(said_in(f[1]), CASE WHEN coalesce(item, '') NOT IN ('tool_call', 'text') THEN said_in(f[2]) END, said_in(f[18]), class)
            AS role,
        coalesce(
            said_in(f[10]), said_in(f[11]),
            CASE WHEN said_in(f[1]) IN ('tool', 'function') THEN coalesce(said_in(f[12]), said_in(f[19])) END
        ) AS answers,
        -- An item of OpenAI's responses, or a block that stands where a message should, is a part itself.
        CASE
            WHEN json_type(f[5]) = 'ARRAY' THEN f[5]
            WHEN json_array_length(f[4]) > 0 THEN f[4]
            WHEN item IN (
                'function_call', 'function_call_output', 'reasoning', 'tool_call', 'text', 'output_text', 'tool_use',
                'tool_result', 'thinking', 'image_url'
            ) AND f[1] IS NULL
                THEN json_array(said)
            ELSE opened(coalesce(nullif(f[3], 'null'), nullif(f[16], 'null'), nullif(f[20], 'null')))
        END AS content,
        coalesce(said_in(f[13]), CASE WHEN json_type(f[14]) = 'VARCHAR' THEN f[14] ->> '$' END, said_in(f[17])) AS reasoning,
        list_concat(
            elements(coalesce(nullif(f[6], 'null'), nullif(f[7], 'null'), nullif(f[15], 'null'))),
            CASE WHEN json_type(coalesce(nullif(f[8], 'null'), f[9])) = 'OBJECT'
                THEN [json_merge_patch(coalesce(nullif(f[8], 'null'), f[9]), '{"type": "function_call"}')] END
        ) AS calls,
        -- What a response says in several items is one message.
        side = 'output' AND finish IS NULL AND f[1] IS NULL
            AND item IN ('function_call', 'reasoning', 'text', 'output_text', 'tool_call', 'tool_use', 'thinking')
            AS continues
    FROM read
    UNION ALL
    SELECT
        heads.span, heads.side, heads.message, heads.finish, heads.role, heads.answers,
        CASE
            WHEN len(parts.content) > 0 THEN to_json(list_concat(
                -- Unless it says again what a part does.
                CASE
                    WHEN NOT list_contains(list_transform(parts.content, lambda part: part ->> 'text'), heads.content)
                        THEN [to_json(heads.content)]
                END,
                parts.content
            ))
            ELSE opened(to_json(heads.content))
        END,
        heads.reasoning,
        list_concat(
            elements(CAST(heads.calls AS JSON)),
            parts.calls,
            CASE WHEN heads.function_name IS NOT NULL
                THEN [json_object('name', heads.function_name, 'arguments', heads.function_arguments)] END
        ),
        FALSE
    FROM cell_heads AS heads
    LEFT JOIN cell_parts AS parts
        ON parts.span = heads.span AND parts.side = heads.side AND parts.message = heads.message
),
told AS MATERIALIZED (
    SELECT
        span, side, message, finish, role, answers, content, continues,
        CASE WHEN reasoning <> '' THEN [json_object('type', 'reasoning', 'content', reasoning)] END AS thoughts,
        parts_of(CASE json_type(content)
            WHEN 'ARRAY' THEN CAST(content AS JSON[])
            WHEN 'VARCHAR' THEN CASE WHEN content <> '""' THEN [content] END
            WHEN 'OBJECT' THEN [content]
        END) AS parts,
        list_transform(
            list_filter(calls, lambda one: json_type(one) = 'OBJECT'),
            lambda one: call_of(coalesce(json_extract(one, '$.tool_call'), one))
        ) AS calls
    FROM heads
),
written AS (
    SELECT
        span, side, message, finish, continues,
        role_of(coalesce(role, CASE WHEN answers IS NOT NULL THEN 'tool' END), side) AS role,
        CASE
            -- Gemini's answers name no call.
            WHEN (answers IS NOT NULL OR lower(role) IN ('tool', 'function'))
                AND NOT list_bool_or(list_transform(parts, lambda part: part ->> '$.type' = 'tool_call_response'))
                THEN [answer_part(answers, answer_of(content))]
            ELSE list_concat(
                thoughts, parts,
                -- Anthropic's calls stand in the content, too.
                list_filter(calls, lambda call: NOT coalesce(list_contains(
                    list_transform(parts, lambda part: CASE WHEN part ->> '$.type' = 'tool_call' THEN part ->> '$.id' END),
                    call ->> '$.id'
                ), FALSE))
            )
        END AS parts
    FROM told
),
joined AS (
    SELECT span, side, message, role, finish, parts FROM written WHERE NOT coalesce(continues, FALSE)
    UNION ALL
    SELECT span, side, -1, 'assistant', NULL, flatten(list(parts ORDER BY message))
    FROM written
    WHERE continues
    GROUP BY span, side
)
SELECT
    span,
    side,
    CAST(to_json(list(
        one_message(side, role, coalesce(parts, CAST([] AS JSON[])), finish)
        ORDER BY message
    )) AS VARCHAR) AS messages
FROM joined
GROUP BY span, side;
