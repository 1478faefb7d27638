-- `tupletrace costs --by model`: USD per answering model, with tokens and the price's source.
SELECT
    provider_name,
    coalesce(response_model, request_model) AS model,
    count(*) AS llm_calls,
    CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(cost_usd) AS DECIMAL(24, 12)) AS cost_usd,
    CAST(sum(CASE WHEN cost_status = 'priced' THEN 0 ELSE 1 END) AS BIGINT) AS unpriced_calls,
    CAST(sum(cache_savings_usd) AS DECIMAL(24, 12)) AS cache_savings_usd,
    CAST(sum(reported_cost_usd) AS DECIMAL(24, 12)) AS reported_cost_usd,
    CAST(sum(CASE WHEN reported_cost_usd IS NOT NULL THEN cost_usd - reported_cost_usd END) AS DECIMAL(24, 12))
        AS above_reported_usd,
    max(price_source) AS price_source
FROM llm_calls
GROUP BY provider_name, coalesce(response_model, request_model)
ORDER BY cost_usd DESC NULLS LAST, model;
