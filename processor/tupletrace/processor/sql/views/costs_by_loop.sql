-- USD per agent's loop of tool calls (the calls of one agent in one trace that were offered tools), the dearest first.
CREATE OR REPLACE VIEW costs_by_loop AS
SELECT *
FROM (
    SELECT
        trace_id,
        agent_name,
        count(DISTINCT agent_step) AS steps,
        unnest(spending(calls))
    FROM llm_calls AS calls
    WHERE tools_version IS NOT NULL
    GROUP BY trace_id, agent_name
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, trace_id, agent_name;
