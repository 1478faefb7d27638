-- USD per trace of each route, and where it is going: `trend_usd_per_day` is the slope of the daily mean (least squares,
-- `trend_r2` how much of it the line explains), NULL below 7 days with a cost.
CREATE OR REPLACE MACRO cost_trend(since := NULL, until := NULL, of_route := NULL) AS TABLE
WITH spent AS (
    SELECT route, day, CAST(cost_usd AS DOUBLE) AS usd, unpriced_calls
    FROM traces
    WHERE llm_calls > 0 AND within(start_time, since, until) AND (of_route IS NULL OR route = of_route)
),
daily AS (
    SELECT route, day, avg(usd) AS usd
    FROM spent
    WHERE usd IS NOT NULL
    GROUP BY route, day
),
trends AS (
    SELECT
        route,
        count(*) AS days,
        regr_slope(usd, date_diff('day', DATE '1970-01-01', day)) AS slope,
        regr_r2(usd, date_diff('day', DATE '1970-01-01', day)) AS r2
    FROM daily
    GROUP BY route
)
SELECT
    spent.route,
    count(*) AS traces,
    CAST(sum(spent.usd) AS DECIMAL(24, 12)) AS cost_usd,
    quantile_cont(spent.usd, 0.5) AS p50_usd,
    quantile_cont(spent.usd, 0.95) AS p95_usd,
    max(spent.usd) AS max_usd,
    CAST(sum(spent.unpriced_calls) AS BIGINT) AS unpriced_calls,
    coalesce(max(trends.days), 0) AS days,
    CASE WHEN max(trends.days) >= 7 THEN max(trends.slope) END AS trend_usd_per_day,
    CASE WHEN max(trends.days) >= 7 THEN max(trends.r2) END AS trend_r2
FROM spent
LEFT JOIN trends ON trends.route = spent.route
GROUP BY spent.route
ORDER BY cost_usd DESC NULLS LAST, spent.route;
