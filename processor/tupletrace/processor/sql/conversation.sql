-- Chat messages of any vendor -> the JSON of the semantic conventions, for a whole batch at once.
-- `blobs` (span, side, said): a JSON list of messages, one message, or plain text.
-- `cells` (span, side, message, field, call, value): attributes whose keys are indexed.
CREATE MACRO json_or_text(said) AS
    CASE WHEN json_valid(said) THEN CAST(said AS JSON) ELSE to_json(said) END;

CREATE MACRO role_of(said, side) AS CASE coalesce(lower(said), side)
    WHEN 'ai' THEN 'assistant' WHEN 'agent' THEN 'assistant' WHEN 'model' THEN 'assistant'
    WHEN 'aimessagechunk' THEN 'assistant' WHEN 'output' THEN 'assistant'
    WHEN 'human' THEN 'user' WHEN 'input' THEN 'user' WHEN 'function' THEN 'tool'
    ELSE lower(said)
END;

CREATE MACRO elements(list) AS
    CASE WHEN json_type(list) = 'ARRAY' THEN CAST(list AS JSON[]) ELSE CAST([] AS JSON[]) END;

CREATE MACRO conversations(blobs, cells) AS TABLE
WITH listed AS MATERIALIZED (
    SELECT
        span,
        side,
        CASE
            WHEN NOT json_valid(said) THEN [json_object('content', said)]
            WHEN json_type(said) = 'OBJECT' THEN [CAST(said AS JSON)]
            WHEN json_type(said, '$[0]') = 'ARRAY' THEN elements(json_extract(said, '$[0]'))
            WHEN json_type(said, '$[0]') = 'OBJECT' THEN elements(CAST(said AS JSON))
        END AS messages
    FROM query_table(blobs)
),
wrapped AS (
    SELECT span, side, unnest(messages) AS said, unnest(range(len(messages))) AS message
    FROM listed
),
-- A choice of OpenAI's, LangChain's constructor, OpenInference's own wrapping.
unwrapped AS MATERIALIZED (
    SELECT
        span,
        side,
        message,
        said ->> 'finish_reason' AS finish,
        coalesce(
            said -> '$.message.kwargs', nullif(said -> 'message', 'null'), said -> 'kwargs', said
        ) AS said
    FROM wrapped
),
heads AS MATERIALIZED (
    SELECT
        span, side, message, finish,
        coalesce(said ->> 'role', said ->> 'type') AS role,
        said ->> 'tool_call_id' AS answers,
        said -> 'content' AS content,
        said -> 'blocks' AS blocks,
        said -> 'parts' AS parts,
        coalesce(nullif(said -> 'tool_calls', 'null'), said -> '$.additional_kwargs.tool_calls') AS calls
    FROM unwrapped
    UNION ALL
    SELECT
        span, side, message,
        max(value) FILTER (field = 'finish'),
        max(value) FILTER (field = 'role'),
        max(value) FILTER (field = 'tool_call_id'),
        max(CASE
            WHEN field = 'content' AND value LIKE '[{%' AND json_valid(value) THEN value
            WHEN field = 'content' THEN CAST(to_json(value) AS VARCHAR)
        END),
        NULL,
        NULL,
        max(value) FILTER (field = 'calls' AND json_valid(value))
    FROM query_table(cells)
    GROUP BY span, side, message
),
contents AS (
    SELECT
        span, side, message, answers,
        unnest(list_concat(
            CASE WHEN json_type(content) = 'ARRAY' THEN elements(content) ELSE [content] END, elements(blocks)
        )) AS part,
        generate_subscripts(list_concat(
            CASE WHEN json_type(content) = 'ARRAY' THEN elements(content) ELSE [content] END, elements(blocks)
        ), 1) AS place
    FROM heads
    WHERE json_type(parts) IS DISTINCT FROM 'ARRAY'
      AND (answers IS NULL OR json_type(content) = 'ARRAY')
),
calls AS (
    SELECT
        span, side, message, place,
        coalesce(call ->> 'id', call ->> 'toolCallId', call ->> 'tool_id') AS id,
        coalesce(call ->> '$.function.name', call ->> 'name', call ->> 'toolName', call ->> 'tool_name') AS name,
        coalesce(
            call ->> '$.function.arguments', call ->> 'arguments', call ->> 'args', call ->> 'input', call ->> 'tool_kwargs'
        ) AS arguments
    FROM (
        SELECT
            span, side, message,
            generate_subscripts(elements(calls), 1) AS place,
            unnest(list_transform(elements(calls), lambda one: coalesce(one -> 'tool_call', one))) AS call
        FROM heads
        WHERE json_type(parts) IS DISTINCT FROM 'ARRAY'
    ) AS each_call
    WHERE json_type(call) = 'OBJECT'
    UNION ALL
    SELECT
        span, side, message, call,
        max(value) FILTER (field = 'id'),
        max(value) FILTER (field = 'call'),
        max(value) FILTER (field = 'arguments')
    FROM query_table(cells)
    WHERE call >= 0 AND field IN ('id', 'call', 'arguments')
    GROUP BY span, side, message, call
    UNION ALL
    SELECT
        span, side, message, place,
        part ->> 'toolCallId', part ->> 'toolName', coalesce(part ->> 'input', part ->> 'args')
    FROM contents
    WHERE part ->> 'type' = 'tool-call'
),
responses AS (
    SELECT span, side, message, 1 AS place, answers AS id, content ->> '$' AS response
    FROM heads
    WHERE answers IS NOT NULL
      AND json_type(parts) IS DISTINCT FROM 'ARRAY'
      AND json_type(content) IS DISTINCT FROM 'ARRAY'
    UNION ALL
    SELECT
        span, side, message, place,
        part ->> 'toolCallId', coalesce(part ->> '$.output.value', part ->> 'output', part ->> 'result')
    FROM contents
    WHERE part ->> 'type' = 'tool-result'
),
texts AS (
    SELECT
        span, side, message, place,
        CASE WHEN part ->> 'type' = 'reasoning' THEN 'reasoning' ELSE 'text' END AS type,
        coalesce(part ->> 'text', part ->> 'reasoning', part ->> '$') AS content
    FROM contents
    WHERE json_type(part) = 'VARCHAR'
       OR part ->> 'text' IS NOT NULL
    UNION ALL
    SELECT span, side, message, call, 'text', value
    FROM query_table(cells)
    WHERE field = 'text'
),
others AS (
    SELECT
        span, side, message, place,
        CASE
            WHEN part ->> '$.image_url.url' IS NOT NULL
                THEN json_object('type', 'uri', 'modality', 'image', 'uri', part ->> '$.image_url.url')
            ELSE part
        END AS part
    FROM contents
    WHERE json_type(part) = 'OBJECT'
      AND part ->> 'text' IS NULL
      AND coalesce(part ->> 'type', '') NOT IN ('tool-call', 'tool-result')
),
parts AS (
    SELECT span, side, message, 0 AS kind, place, json_object('type', type, 'content', content) AS part
    FROM texts
    WHERE content <> ''
    UNION ALL
    SELECT span, side, message, 0, place, part FROM others
    UNION ALL
    SELECT
        span, side, message, 1, place,
        json_object('type', 'tool_call', 'id', id, 'name', name, 'arguments', json_or_text(arguments))
    FROM calls
    UNION ALL
    SELECT
        span, side, message, 1, place,
        json_object('type', 'tool_call_response', 'id', id, 'response', json_or_text(response))
    FROM responses
    UNION ALL
    SELECT span, side, message, 2, generate_subscripts(elements(parts), 1), unnest(elements(parts))
    FROM heads
    WHERE json_type(parts) = 'ARRAY'
),
gathered AS (
    SELECT span, side, message, to_json(list(part ORDER BY kind, place)) AS parts
    FROM parts
    GROUP BY span, side, message
),
written AS (
    SELECT
        heads.span,
        heads.side,
        heads.message,
        CASE
            WHEN heads.finish IS NULL
                THEN json_object(
                    'role', role_of(heads.role, heads.side), 'parts', coalesce(gathered.parts, CAST('[]' AS JSON))
                )
            ELSE json_object(
                'role', role_of(heads.role, heads.side),
                'parts', coalesce(gathered.parts, CAST('[]' AS JSON)),
                'finish_reason', heads.finish
            )
        END AS said
    FROM heads
    LEFT JOIN gathered
        ON gathered.span = heads.span AND gathered.side = heads.side AND gathered.message = heads.message
)
SELECT span, side, CAST(to_json(list(said ORDER BY message)) AS VARCHAR) AS messages
FROM written
GROUP BY span, side;
