-- `tupletrace costs --by step`: USD per step of an agent's run, the dearest first.
SELECT *
FROM (
    SELECT
        agent_name,
        agent_step,
        unnest(spending(calls))
    FROM llm_calls AS calls
    WHERE agent_step IS NOT NULL
    GROUP BY agent_name, agent_step
) AS spent
ORDER BY agent_name, agent_step;
