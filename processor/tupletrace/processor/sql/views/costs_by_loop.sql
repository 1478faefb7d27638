-- USD per agent's loop of tool calls, the dearest first: the calls of one agent in one trace that were offered tools, or,
-- where nobody says which, all of its steps if one of them asked for a tool.
CREATE OR REPLACE VIEW costs_by_loop AS
WITH agents AS (
    SELECT
        *,
        bool_or(tools_names IS NULL AND finish_reasons LIKE '%tool%') OVER (PARTITION BY trace_id, agent_name)
            AND agent_step IS NOT NULL AS asks
    FROM llm_calls
)
SELECT *
FROM (
    SELECT
        trace_id,
        agent_name,
        count(DISTINCT agent_step) AS steps,
        unnest(spending(calls))
    FROM agents AS calls
    WHERE coalesce(tools_version, tools_names) IS NOT NULL OR asks
    GROUP BY trace_id, agent_name
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, trace_id, agent_name;
