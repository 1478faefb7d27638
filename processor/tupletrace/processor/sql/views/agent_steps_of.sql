-- The steps of agents of which nobody tells any, counted from 0 in each run: of its calls (`filled_calls_of`), between which
-- its tools may run.
CREATE OR REPLACE MACRO agent_steps_of(calls, ancestors) AS TABLE
WITH acts AS (
    SELECT
        trace_id,
        span_id,
        coalesce(run_id, agent_name, CASE WHEN in_graph THEN '' END) AS run,
        agent_step,
        start_unix_nano,
        end_unix_nano,
        FALSE AS tool
    FROM query_table(calls)
    WHERE operation_name NOT IN ('embeddings', 'invoke_agent')
      AND run IS NOT NULL
      AND in_graph IS NOT NULL
    UNION ALL
    SELECT
        trace_id,
        span_id,
        coalesce(
            arg_min(CASE WHEN operation_name = 'invoke_agent' THEN ancestor_id END, distance),
            arg_min(agent_name, distance),
            ''
        ),
        NULL,
        arg_min(start_unix_nano, distance),
        arg_min(end_unix_nano, distance),
        TRUE
    FROM query_table(ancestors)
    GROUP BY trace_id, span_id
    HAVING arg_min(operation_name, distance) = 'execute_tool'
),
-- Tools that one answer asks for share a step, and so do calls side by side.
begun AS (
    SELECT
        *,
        tool IS DISTINCT FROM lag(tool) OVER so_far
            OR (NOT tool AND start_unix_nano >= max(end_unix_nano) OVER so_far) AS begins,
        count(agent_step) OVER (PARTITION BY trace_id, run) > 0 AS told
    FROM acts
    WINDOW so_far AS (
        PARTITION BY trace_id, run
        ORDER BY start_unix_nano, span_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
)
SELECT
    trace_id,
    span_id,
    count(*) FILTER (begins) OVER (
        PARTITION BY trace_id, run ORDER BY start_unix_nano, span_id ROWS UNBOUNDED PRECEDING
    ) - 1 AS step
FROM begun
WHERE NOT told
QUALIFY NOT tool;
