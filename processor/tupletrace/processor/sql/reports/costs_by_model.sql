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
    max(price_source) AS price_source
FROM llm_calls
GROUP BY provider_name, coalesce(response_model, request_model)
ORDER BY cost_usd DESC NULLS LAST, model;
