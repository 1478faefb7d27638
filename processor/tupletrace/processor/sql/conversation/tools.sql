-- The tools of each span as a JSON list, out of keys: each one's schema, or its name, description and parameters. A schema
-- that names no tool is that of its parameters.
CREATE MACRO names_tool(schema) AS
    json_exists(schema, '$.name') OR json_exists(schema, '$.function') OR json_exists(schema, '$.toolSpec')
    OR json_exists(schema, '$.function_declarations') OR json_exists(schema, '$.functionDeclarations');

CREATE MACRO tools_of(cells) AS TABLE
WITH gathered AS (
    SELECT
        span,
        message,
        CAST(max(CASE WHEN field = 'schema' AND json_valid(value) THEN value END) AS JSON) AS schema,
        max(CASE WHEN field = 'name' THEN value END) AS name,
        max(CASE WHEN field = 'description' THEN value END) AS description,
        CAST(max(CASE WHEN field = 'parameters' AND json_valid(value) THEN value END) AS JSON) AS parameters
    FROM query_table(cells)
    GROUP BY span, message
)
SELECT span, '[' || string_agg(tool, ',' ORDER BY message) || ']' AS tools
FROM (
    SELECT
        span,
        message,
        CASE
            WHEN name IS NULL OR coalesce(names_tool(schema), FALSE) THEN CAST(schema AS VARCHAR)
            -- Without what is null.
            ELSE CAST(json_merge_patch('{}', json_object(
                'type', 'function', 'name', name, 'description', description, 'parameters', coalesce(parameters, schema)
            )) AS VARCHAR)
        END AS tool
    FROM gathered
) AS each_tool
WHERE tool IS NOT NULL
GROUP BY span;
