-- How agents acted: one row a trace with agent steps, most looping first. `repeats`: tool calls with the arguments of an
-- earlier one; `longest_run`: the same step over and over; `revisits`: steps that had been taken before. `dead_end`: how
-- it came to nothing: the last step failed, the model asked for a tool that did not run, or its answer was cut off.
CREATE OR REPLACE MACRO trajectories(since := NULL, until := NULL, of_route := NULL) AS TABLE
WITH steps AS (
    SELECT
        trace_id,
        start_unix_nano,
        span_id,
        status_code,
        operation_name,
        coalesce(tool_name, graph_node, name) AS step,
        attributes['gen_ai.tool.call.arguments'] AS arguments
    FROM spans
    WHERE (operation_name = 'execute_tool' OR graph_node IS NOT NULL OR agent_step IS NOT NULL)
      AND within(start_time, since, until)
      AND (of_route IS NULL OR trace_id IN (SELECT trace_id FROM traces WHERE route = of_route))
),
placed AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY trace_id ORDER BY start_unix_nano, span_id)
            - row_number() OVER (PARTITION BY trace_id, step ORDER BY start_unix_nano, span_id) AS run,
        operation_name = 'execute_tool' AND arguments IS NOT NULL AND row_number() OVER (
            PARTITION BY trace_id, step, arguments ORDER BY start_unix_nano, span_id
        ) > 1 AS repeats
    FROM steps
),
runs AS (
    SELECT trace_id, max(steps) AS longest_run
    FROM (SELECT trace_id, count(*) AS steps FROM placed GROUP BY trace_id, step, run) AS counted
    GROUP BY trace_id
),
acted AS (
    SELECT
        trace_id,
        count(*) AS steps,
        list(step ORDER BY start_unix_nano, span_id) AS trajectory,
        CAST(sum(CASE WHEN repeats THEN 1 ELSE 0 END) AS BIGINT) AS repeats,
        count(*) - count(DISTINCT step) AS revisits,
        max(CASE WHEN operation_name = 'execute_tool' THEN start_unix_nano END) AS last_tool_unix_nano,
        arg_max(status_code, (start_unix_nano, span_id)) AS last_status
    FROM placed
    GROUP BY trace_id
),
-- Settled together: where they are stored is known.
of_traces AS MATERIALIZED (
    SELECT traces.trace_id, traces.route, traces.tuple_id, traces.settled_seq
    FROM acted
    JOIN settled_traces AS traces ON traces.trace_id = acted.trace_id
),
answers AS (
    SELECT
        calls.trace_id,
        arg_max({'finish': calls.finish_reasons, 'unix_nano': epoch_ns(calls.start_time)}, calls.start_time) AS last
    FROM settled_llm_calls AS calls
    JOIN of_traces ON of_traces.settled_seq = calls.settled_seq AND of_traces.trace_id = calls.trace_id
    WHERE calls.operation_name <> 'embeddings'
    GROUP BY calls.trace_id
)
SELECT
    acted.trace_id,
    traces.route,
    acted.steps,
    acted.trajectory,
    acted.repeats,
    runs.longest_run,
    acted.revisits,
    CASE
        WHEN acted.last_status = 'ERROR' THEN 'the last step failed'
        WHEN answers.last.finish LIKE '%tool%' AND acted.last_tool_unix_nano < answers.last.unix_nano
            THEN 'a tool was asked for and did not run'
        WHEN answers.last.finish LIKE '%length%' THEN 'the answer was cut off'
        WHEN answers.last.finish LIKE '%content_filter%' THEN 'the answer was filtered'
    END AS dead_end,
    traces.tuple_id
FROM acted
JOIN runs ON runs.trace_id = acted.trace_id
JOIN of_traces AS traces ON traces.trace_id = acted.trace_id
LEFT JOIN answers ON answers.trace_id = acted.trace_id
ORDER BY acted.repeats DESC, runs.longest_run DESC, acted.steps DESC, acted.trace_id;
