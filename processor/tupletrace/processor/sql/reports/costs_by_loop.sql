-- `tupletrace costs --by loop`: USD per agent's loop of tool calls: the calls of one agent in one trace, the dearest first.
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
ORDER BY cost_usd DESC NULLS LAST, trace_id, agent_name;
