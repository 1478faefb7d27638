-- USD per step of an agent's runs, in their order; NULL: calls outside of any step.
CREATE OR REPLACE VIEW costs_by_step AS
SELECT *
FROM (
    SELECT
        agent_name,
        agent_step,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY agent_name, agent_step
) AS spent
ORDER BY agent_name, agent_step;
