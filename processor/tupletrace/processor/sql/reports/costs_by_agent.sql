-- `tupletrace costs --by agent`: USD per agent, the dearest first.
SELECT *
FROM (
    SELECT
        agent_name,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY agent_name
) AS spent
ORDER BY cost_usd DESC NULLS LAST, agent_name;
