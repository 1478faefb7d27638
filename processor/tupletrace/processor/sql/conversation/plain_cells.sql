-- `cells` as for `conversations`; left out is every conversation of which one message is in another shape.
CREATE MACRO plain_cells(cells) AS TABLE
WITH each_place AS (
    SELECT
        span, side, message, number,
        max(value) FILTER (field = 'finish') AS finish,
        max(value) FILTER (field = 'role') AS role,
        max(value) FILTER (field = 'tool_call_id') AS answers,
        max(value) FILTER (field = 'content') AS content,
        to_json(any_value(value) FILTER (sub = 'id')) AS id,
        to_json(any_value(value) FILTER (sub = 'name')) AS name,
        to_json(any_value(value) FILTER (sub = 'arguments')) AS arguments,
        bool_and(field IN ('role', 'content', 'finish', 'tool_call_id', 'call')) AS known
    FROM query_table(cells)
    GROUP BY span, side, message, number
),
each_call AS (
    SELECT *, plain_call(id, name, arguments) AS call
    FROM each_place
),
heads AS MATERIALIZED (
    SELECT
        span,
        side,
        message,
        max(finish) AS finish,
        to_json(coalesce(nullif(max(role), ''), CASE side WHEN 'output' THEN 'assistant' END)) AS role,
        to_json(max(answers)) AS answers,
        to_json(max(content)) AS content,
        coalesce(list(call ORDER BY number) FILTER (number >= 0), []) AS calls,
        CAST(NULL AS VARCHAR[]) AS blocks,
        bool_and(known) AS known
    FROM each_call
    GROUP BY span, side, message
)
SELECT span, side, '[' || string_agg(told, ',' ORDER BY message) || ']' AS messages
FROM (
    SELECT
        span, side, message,
        CASE WHEN known THEN plain_message(side, role, plain_parts(role, answers, content, calls, blocks), finish) END AS told
    FROM heads
) AS each_message
GROUP BY span, side
HAVING count(told) = count(*);
