-- What each route, and all of them (route NULL), will have cost at the end of the month: spent so far, and for each day
-- that is left the mean of its weekday in the last 28 full days (of every day where that are less than 14 days).
-- Below 7 full days nothing is forecast; `method` says what was done. `moment`: as if it were then (UTC). `forecast_sd_usd`:
-- the forecast's standard error, of the days to come and of the means; it has `degrees_of_freedom` of Student's t.
CREATE OR REPLACE MACRO cost_forecast(moment := NULL, of_route := NULL) AS TABLE
WITH clock AS (
    SELECT coalesce(CAST(moment AS TIMESTAMP WITH TIME ZONE), now()) AT TIME ZONE 'UTC' AS clock
),
bounds AS MATERIALIZED (
    SELECT
        clock,
        CAST(clock AS DATE) AS today,
        CAST(date_trunc('month', clock) AS DATE) AS month,
        1 - date_diff('second', date_trunc('day', clock), clock) / 86400.0 AS left_of_today
    FROM clock
),
spent AS (
    SELECT
        route,
        day,
        CAST(sum(cost_usd) AS DOUBLE) AS usd,
        sum(unpriced_calls) AS unpriced_calls
    FROM traces, bounds
    WHERE llm_calls > 0
      AND start_time AT TIME ZONE 'UTC' < clock
      AND (of_route IS NULL OR route = of_route)
    GROUP BY GROUPING SETS ((route, day), (day))
),
-- The first day of a route is no full one.
routes AS (
    SELECT
        spent.route,
        greatest(min(spent.day) + 1, any_value(bounds.today) - 28) AS from_day,
        sum(CASE WHEN spent.day >= bounds.month THEN spent.usd END) AS spent_usd,
        sum(CASE WHEN spent.day >= bounds.month THEN spent.unpriced_calls END) AS unpriced_calls
    FROM spent, bounds
    GROUP BY spent.route
),
history AS (
    SELECT routes.route, full_day.day, coalesce(spent.usd, 0) AS usd
    FROM routes
    CROSS JOIN bounds
    CROSS JOIN LATERAL (
        SELECT CAST(unnest(generate_series(routes.from_day, bounds.today - 1, INTERVAL 1 DAY)) AS DATE) AS day
    ) AS full_day
    LEFT JOIN spent ON spent.route IS NOT DISTINCT FROM routes.route AND spent.day = full_day.day
),
paces AS (
    SELECT
        route,
        count(*) AS days,
        avg(usd) AS usd_per_day,
        regr_slope(usd, date_diff('day', DATE '1970-01-01', day)) AS trend_usd_per_day
    FROM history
    GROUP BY route
),
-- What a day is expected to cost: by its weekday, or any day (NULL).
expected AS (
    SELECT
        history.route,
        CASE WHEN paces.days >= 14 THEN isodow(history.day) END AS weekday,
        avg(history.usd) AS usd,
        count(*) AS days,
        var_pop(history.usd) * count(*) AS squares
    FROM history
    JOIN paces ON paces.route IS NOT DISTINCT FROM history.route
    GROUP BY history.route, CASE WHEN paces.days >= 14 THEN isodow(history.day) END
),
ahead AS (
    SELECT isodow(day) AS weekday, CASE WHEN day = today THEN left_of_today ELSE 1 END AS part
    FROM (
        SELECT
            today,
            left_of_today,
            CAST(unnest(generate_series(today, month + INTERVAL 1 MONTH - INTERVAL 1 DAY, INTERVAL 1 DAY)) AS DATE) AS day
        FROM bounds
    ) AS days
),
parts AS (
    SELECT
        expected.route,
        expected.usd,
        expected.days,
        expected.squares,
        coalesce(sum(ahead.part), 0) AS coming_days,
        coalesce(sum(ahead.part * ahead.part), 0) AS part_squares
    FROM expected
    LEFT JOIN ahead ON ahead.weekday = coalesce(expected.weekday, ahead.weekday)
    GROUP BY expected.route, expected.weekday, expected.usd, expected.days, expected.squares
),
coming AS (
    SELECT
        route,
        sum(usd * coming_days) AS usd,
        CAST(sum(days) - count(*) AS BIGINT) AS degrees_of_freedom,
        sqrt(sum(squares) / nullif(sum(days) - count(*), 0) * sum(part_squares + coming_days * coming_days / days)) AS sd
    FROM parts
    GROUP BY route
)
SELECT
    bounds.month,
    routes.route,
    CAST(coalesce(routes.spent_usd, 0) AS DECIMAL(24, 12)) AS spent_usd,
    CAST(CASE WHEN paces.days >= 7 THEN coalesce(routes.spent_usd, 0) + coming.usd END AS DECIMAL(24, 12)) AS forecast_usd,
    CASE
        WHEN coalesce(paces.days, 0) < 7 THEN 'not enough data: 7 full days are needed'
        WHEN paces.days < 14 THEN 'spent, and the mean day of ' || paces.days || ' for each day that is left'
        ELSE 'spent, and the mean of its weekday in ' || paces.days || ' days for each day that is left'
    END AS method,
    CASE WHEN paces.days >= 7 THEN coming.sd END AS forecast_sd_usd,
    CASE WHEN paces.days >= 7 THEN coming.degrees_of_freedom END AS degrees_of_freedom,
    coalesce(paces.days, 0) AS days,
    paces.usd_per_day,
    CASE WHEN paces.days >= 7 THEN paces.trend_usd_per_day END AS trend_usd_per_day,
    CAST(coalesce(routes.unpriced_calls, 0) AS BIGINT) AS unpriced_calls
FROM routes
CROSS JOIN bounds
LEFT JOIN paces ON paces.route IS NOT DISTINCT FROM routes.route
LEFT JOIN coming ON coming.route IS NOT DISTINCT FROM routes.route
ORDER BY routes.route IS NOT NULL, routes.spent_usd DESC NULLS LAST, routes.route;
