-- `tupletrace prices update`: what calls cost before and now, by model; `costs_before`: trace_id, span_id, cost_usd.
SELECT
    now.provider_name,
    coalesce(now.response_model, now.request_model) AS model,
    count(*) AS llm_calls,
    CAST(sum(earlier.cost_usd) AS DECIMAL(24, 12)) AS cost_before_usd,
    CAST(sum(now.cost_usd) AS DECIMAL(24, 12)) AS cost_now_usd,
    CAST(coalesce(sum(now.cost_usd), 0) - coalesce(sum(earlier.cost_usd), 0) AS DECIMAL(24, 12)) AS difference_usd,
    max(now.price_source) AS price_source
FROM llm_calls AS now
LEFT JOIN costs_before AS earlier ON earlier.trace_id = now.trace_id AND earlier.span_id = now.span_id
GROUP BY now.provider_name, coalesce(now.response_model, now.request_model)
HAVING coalesce(sum(now.cost_usd), 0) <> coalesce(sum(earlier.cost_usd), 0)
ORDER BY abs(difference_usd) DESC, model;
