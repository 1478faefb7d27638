-- The messages of spans of whose messages each is a role and a text and says nothing else: most are, and planning
-- the query for all others takes 50 ms, whatever there is to read.
CREATE MACRO plain_conversations(blobs, cells) AS TABLE
WITH listed_blobs AS MATERIALIZED (
    SELECT
        span,
        side,
        CASE
            WHEN json_type(v) = 'ARRAY' THEN json_extract(v, '$[*]')
            -- LangChain's batches.
            WHEN json_type(g[2]) = 'ARRAY' THEN json_extract(g[2], '$[*]')
            WHEN json_type(g[1]) = 'ARRAY' AND g[3] IS NULL THEN json_extract(g[1], '$[*]')
            WHEN json_type(g[4]) = 'ARRAY' THEN json_extract(g[4], '$[*]')
            WHEN json_type(g[5]) = 'ARRAY' THEN json_extract(g[5], '$[*]')
            WHEN json_type(g[6]) = 'VARCHAR' THEN [v]
            ELSE ['null']
        END AS messages
    FROM (
        SELECT
            span, side, v,
            json_extract(v, ['$.messages', '$.messages[0]', '$.system', '$.choices', '$.generations[0]', '$.role']) AS g
        FROM (
            SELECT span, side, CASE WHEN starts_with(said, '[') OR starts_with(said, '{') THEN TRY_CAST(said AS JSON) END AS v
            FROM query_table(blobs)
        ) AS opened
    ) AS read
),
each_one AS MATERIALIZED (
    SELECT span, side, unnest(messages) AS said, unnest(range(len(messages))) AS message
    FROM listed_blobs
),
unwrapped AS MATERIALIZED (
    SELECT
        span,
        side,
        message,
        first_real(w[1:5]) ->> '$' AS finish,
        json_extract(coalesce(w[6], w[7], w[8], said), [
            '$.role', '$.type', '$.content', '$.parts', '$.blocks', '$.tool_calls', '$.toolCalls', '$.function_call',
            '$.tool_call_id', '$.reasoning', '$.reasoning_content', '$.additional_kwargs.tool_calls',
            '$.additional_kwargs.function_call', '$.additional_kwargs.reasoning_content'
        ]) AS f
    FROM (
        SELECT
            span, side, message, said,
            json_extract(said, [
                '$.finish_reason', '$.finishReason', '$.stop_reason', '$.generation_info.finish_reason',
                '$.message.kwargs.response_metadata.finish_reason',
                '$.message.kwargs', '$.message', '$.kwargs'
            ]) AS w
        FROM each_one
    ) AS read
),
messages AS MATERIALIZED (
    SELECT
        span,
        side,
        message,
        finish,
        CASE coalesce(f[1], f[2]) ->> '$' WHEN 'human' THEN 'user' WHEN 'ai' THEN 'assistant' ELSE coalesce(f[1], f[2]) ->> '$' END
            AS role,
        f[3] ->> '$' AS content,
        json_type(f[3]) = 'VARCHAR'
            AND len(list_filter(f[4:], lambda said: said NOT IN ('null', '[]', '{}'))) = 0 AS plain
    FROM unwrapped
    UNION ALL
    SELECT
        span,
        side,
        message,
        max(CASE WHEN field = 'finish' THEN value END),
        max(CASE WHEN field = 'role' THEN value WHEN side = 'output' THEN 'assistant' END),
        max(CASE WHEN field = 'content' THEN value END),
        bool_and(field IN ('role', 'content', 'finish'))
    FROM query_table(cells)
    GROUP BY span, side, message
)
SELECT
    span,
    side,
    CAST(to_json(list(
        one_message(side, role, [json_object('type', 'text', 'content', content)], finish)
        ORDER BY message
    )) AS VARCHAR) AS messages
FROM messages
GROUP BY span, side
HAVING bool_and(coalesce(
    plain AND role IN ('system', 'user', 'assistant') AND content <> '' AND NOT regexp_matches(content, '^\s*[\[{"]'),
    FALSE
));
