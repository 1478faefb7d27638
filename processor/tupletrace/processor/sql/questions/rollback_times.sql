-- How fast bad tuples are rolled back, by route: how many were, and the minutes it took.
CREATE OR REPLACE MACRO rollback_times(since := NULL, until := NULL, of_route := NULL) AS TABLE
SELECT
    route,
    count(*) AS regressions,
    count(rolled_back_at) AS rolled_back,
    quantile_cont(minutes, 0.5) AS p50_minutes,
    quantile_cont(minutes, 0.95) AS p95_minutes,
    max(minutes) AS max_minutes
FROM rollbacks(since := since, until := until, of_route := of_route)
GROUP BY route
ORDER BY route;
