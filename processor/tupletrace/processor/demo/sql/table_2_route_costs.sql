-- Cost per trace by route, in USD
SELECT
    route,
    traces,
    CAST(cost_per_trace_usd AS DECIMAL(12, 8)) AS cost_per_trace,
    CAST(p50 AS DECIMAL(12, 8)) AS p50,
    CAST(p95 AS DECIMAL(12, 8)) AS p95,
    CAST(cost_usd AS DECIMAL(12, 8)) AS sum,
    unpriced_calls
FROM route_costs
ORDER BY cost_usd DESC NULLS LAST, route
