-- The messages of spans of whose messages each is a role and a text and nothing else: most are, and planning the
-- query for all others takes 0.1 s, whatever there is to read.
CREATE MACRO plain_conversations(blobs, cells) AS TABLE
WITH listed_blobs AS MATERIALIZED (
    SELECT
        span,
        side,
        CASE
            WHEN json_type(v) = 'ARRAY' THEN json_extract(v, '$[*]')
            WHEN json_type(v, '$.messages') = 'ARRAY' AND NOT json_exists(v, '$.system')
                THEN json_extract(v, '$.messages[*]')
            WHEN json_type(v, '$.choices') = 'ARRAY' THEN json_extract(v, '$.choices[*]')
            WHEN json_type(v, '$.role') = 'VARCHAR' THEN [v]
            ELSE ['null']
        END AS messages
    FROM (
        SELECT span, side, CASE WHEN starts_with(said, '[') OR starts_with(said, '{') THEN TRY_CAST(said AS JSON) END AS v
        FROM query_table(blobs)
    ) AS read
),
each_one AS MATERIALIZED (
    SELECT span, side, unnest(messages) AS said, unnest(range(len(messages))) AS message
    FROM listed_blobs
),
-- Without what is null.
unwrapped AS MATERIALIZED (
    SELECT
        span,
        side,
        message,
        said ->> '$.finish_reason' AS finish,
        json_merge_patch('{}', coalesce(said -> '$.message', said)) AS said
    FROM each_one
),
messages AS MATERIALIZED (
    SELECT
        span,
        side,
        message,
        finish,
        said ->> '$.role' AS role,
        said ->> '$.content' AS content,
        json_type(said, '$.content') = 'VARCHAR' AND said ->> '$.role' IS NOT NULL AND len(json_keys(said)) = 2 AS plain
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
        CASE
            WHEN finish IS NULL OR side = 'input'
                THEN json_object('role', role, 'parts', [json_object('type', 'text', 'content', content)])
            ELSE json_object(
                'role', role, 'parts', [json_object('type', 'text', 'content', content)], 'finish_reason', finish
            )
        END
        ORDER BY message
    )) AS VARCHAR) AS messages
FROM messages
GROUP BY span, side
HAVING bool_and(coalesce(
    plain AND role IN ('system', 'user', 'assistant') AND content <> '' AND NOT regexp_matches(content, '^\s*[\[{"]'),
    FALSE
));
