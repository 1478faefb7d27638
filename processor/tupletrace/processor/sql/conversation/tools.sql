-- The tools of each span as a JSON list, out of keys: each one's schema, or its name, description and parameters.
CREATE MACRO tools_of(cells) AS TABLE
SELECT span, '[' || string_agg(tool, ',' ORDER BY message) || ']' AS tools
FROM (
    SELECT
        span,
        message,
        coalesce(
            max(CASE WHEN field = 'schema' AND json_valid(value) THEN value END),
            CASE
                WHEN max(CASE WHEN field = 'name' THEN value END) IS NOT NULL
                    -- Without what is null.
                    THEN CAST(json_merge_patch('{}', json_object(
                        'type', 'function',
                        'name', max(CASE WHEN field = 'name' THEN value END),
                        'description', max(CASE WHEN field = 'description' THEN value END),
                        'parameters', CAST(max(CASE WHEN field = 'parameters' AND json_valid(value) THEN value END) AS JSON)
                    )) AS VARCHAR)
            END
        ) AS tool
    FROM query_table(cells)
    GROUP BY span, message
) AS each_tool
WHERE tool IS NOT NULL
GROUP BY span;
