-- USD per route. cost_per_trace_usd, p50 and p95 are over the traces with a cost; unpriced_calls have none.
CREATE OR REPLACE VIEW route_costs AS
SELECT
    route,
    count(*) AS traces,
    CAST(sum(cost_usd) AS DECIMAL(24, 12)) AS cost_usd,
    CAST(CAST(sum(cost_usd) AS DOUBLE) / nullif(count(cost_usd), 0) AS DECIMAL(24, 12)) AS cost_per_trace_usd,
    CAST(quantile_cont(CAST(cost_usd AS DOUBLE), 0.5) AS DECIMAL(24, 12)) AS p50,
    CAST(quantile_cont(CAST(cost_usd AS DOUBLE), 0.95) AS DECIMAL(24, 12)) AS p95,
    CAST(sum(unpriced_calls) AS BIGINT) AS unpriced_calls,
    CAST(sum(estimated_cost_usd) AS DECIMAL(24, 12)) AS estimated_cost_usd
FROM trace_costs
GROUP BY route;
