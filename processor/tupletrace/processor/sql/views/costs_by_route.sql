-- USD per route, the dearest first, and per trace of it that has a cost.
CREATE OR REPLACE VIEW costs_by_route AS
WITH calls AS MATERIALIZED (
    SELECT llm_calls.* REPLACE (served.route AS route)
    FROM llm_calls
    JOIN traces AS served ON served.trace_id = llm_calls.trace_id
),
per_trace AS (
    SELECT route, sum(cost_usd) AS cost_usd
    FROM calls
    GROUP BY route, trace_id
),
traces_of AS (
    SELECT
        route,
        count(*) AS traces,
        CAST(CAST(sum(cost_usd) AS DOUBLE) / nullif(count(cost_usd), 0) AS DECIMAL(24, 12)) AS cost_per_trace_usd,
        CAST(quantile_cont(CAST(cost_usd AS DOUBLE), 0.5) AS DECIMAL(24, 12)) AS p50,
        CAST(quantile_cont(CAST(cost_usd AS DOUBLE), 0.95) AS DECIMAL(24, 12)) AS p95
    FROM per_trace
    GROUP BY route
)
SELECT *
FROM (
    SELECT route, unnest(spending(calls))
    FROM calls
    GROUP BY route
) AS spent
JOIN traces_of USING (route)
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, route;
