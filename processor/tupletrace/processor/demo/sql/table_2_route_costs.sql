-- Cost per trace by route, in USD, and how many calls have no price
SELECT
    route,
    traces,
    CAST(cost_per_trace_usd AS DECIMAL(12, 8)) AS mean,
    CAST(p50 AS DECIMAL(12, 8)) AS p50,
    CAST(p95 AS DECIMAL(12, 8)) AS p95,
    CAST(cost_usd AS DECIMAL(12, 8)) AS sum,
    unpriced_calls AS unpriced
FROM route_costs
ORDER BY cost_usd DESC NULLS LAST, route
