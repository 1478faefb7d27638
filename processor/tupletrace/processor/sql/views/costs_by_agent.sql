-- USD per agent, the dearest first; NULL: calls of no agent.
CREATE OR REPLACE VIEW costs_by_agent AS
SELECT *
FROM (
    SELECT
        agent_name,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY agent_name
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, agent_name;
