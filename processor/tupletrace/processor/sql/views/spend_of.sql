-- What each trace of these costed calls spent. `unpriced_calls` are not, or not wholly, in its cost.
CREATE OR REPLACE MACRO spend_of(calls) AS TABLE
SELECT
    trace_id,
    count(*) AS llm_calls,
    CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(cost_usd) AS DECIMAL(24, 12)) AS cost_usd,
    CASE
        WHEN count(cost_usd) = 0 AND count(estimated_cost_usd) > 0 THEN 'estimated'
        WHEN count(cost_usd) = 0 THEN 'unpriced'
        WHEN bool_or(cost_status <> 'priced') THEN 'partly_priced'
        ELSE 'priced'
    END AS cost_status,
    CAST(sum(CASE WHEN cost_status = 'priced' THEN 0 ELSE 1 END) AS BIGINT) AS unpriced_calls,
    CAST(sum(estimated_cost_usd) AS DECIMAL(24, 12)) AS estimated_cost_usd
FROM query_table(calls)
GROUP BY trace_id;
