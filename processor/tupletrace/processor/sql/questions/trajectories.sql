-- How agents acted: one row a trace with agent steps, their names in order, how many repeat an earlier one with
-- the same arguments (a loop), and whether the last one failed (a dead end).
CREATE OR REPLACE MACRO trajectories(since := NULL, until := NULL) AS TABLE
WITH steps AS (
    SELECT
        trace_id,
        start_unix_nano,
        span_id,
        status_code,
        coalesce(tool_name, graph_node, name) AS step,
        row_number() OVER (
            PARTITION BY trace_id, tool_name, attributes['gen_ai.tool.call.arguments']
            ORDER BY start_unix_nano, span_id
        ) > 1 AND operation_name = 'execute_tool' AND attributes['gen_ai.tool.call.arguments'] IS NOT NULL AS repeats
    FROM spans
    WHERE (operation_name = 'execute_tool' OR graph_node IS NOT NULL OR agent_step IS NOT NULL)
      AND within(start_time, since, until)
)
SELECT
    steps.trace_id,
    max(traces.route) AS route,
    count(*) AS steps,
    list(steps.step ORDER BY steps.start_unix_nano, steps.span_id) AS trajectory,
    CAST(sum(CASE WHEN steps.repeats THEN 1 ELSE 0 END) AS BIGINT) AS repeats,
    arg_max(steps.status_code, (steps.start_unix_nano, steps.span_id)) = 'ERROR' AS dead_end
FROM steps
JOIN traces ON traces.trace_id = steps.trace_id
GROUP BY steps.trace_id
ORDER BY repeats DESC, steps DESC;
