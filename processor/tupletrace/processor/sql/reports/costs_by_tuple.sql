-- `tupletrace costs --by tuple`: USD per tuple, the dearest first.
SELECT
    traces.tuple_id,
    min(traces.route) AS route,
    count(*) AS llm_calls,
    CAST(sum(llm_calls.input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(llm_calls.output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(llm_calls.cost_usd) AS DECIMAL(24, 12)) AS cost_usd,
    CAST(sum(cache_savings_usd) AS DECIMAL(24, 12)) AS cache_savings_usd,
    CAST(sum(CASE WHEN llm_calls.cost_status = 'unpriced' THEN 1 ELSE 0 END) AS BIGINT) AS unpriced_calls,
    CAST(sum(CASE WHEN llm_calls.cost_status = 'partly_priced' THEN 1 ELSE 0 END) AS BIGINT) AS partly_priced_calls,
    CAST(sum(CASE WHEN usage_status = 'absent' AND llm_calls.status_code <> 'ERROR' THEN 1 ELSE 0 END) AS BIGINT) AS calls_without_usage
FROM llm_calls
JOIN traces ON traces.trace_id = llm_calls.trace_id
GROUP BY traces.tuple_id
ORDER BY cost_usd DESC NULLS LAST, traces.tuple_id;
