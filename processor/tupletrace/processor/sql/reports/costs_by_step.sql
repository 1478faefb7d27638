-- `tupletrace costs --by step`: USD per step of an agent's run, the dearest first.
SELECT
    agent_name,
    agent_step,
    count(*) AS llm_calls,
    CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(cost_usd) AS DECIMAL(24, 12)) AS cost_usd,
    CAST(sum(cache_savings_usd) AS DECIMAL(24, 12)) AS cache_savings_usd,
    CAST(sum(CASE WHEN cost_status = 'unpriced' THEN 1 ELSE 0 END) AS BIGINT) AS unpriced_calls,
    CAST(sum(CASE WHEN cost_status = 'partly_priced' THEN 1 ELSE 0 END) AS BIGINT) AS partly_priced_calls,
    CAST(sum(CASE WHEN usage_status = 'absent' AND status_code <> 'ERROR' THEN 1 ELSE 0 END) AS BIGINT) AS calls_without_usage
FROM llm_calls
WHERE agent_step IS NOT NULL
GROUP BY agent_name, agent_step
ORDER BY agent_name, agent_step, cost_usd DESC NULLS LAST, agent_name, agent_step;
