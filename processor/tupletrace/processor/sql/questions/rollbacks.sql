-- How fast a bad tuple was rolled back: for each regression the time at which the tuple before it served more traces of
-- the route than it again (counted in 10-minute buckets), and the minutes since the bad one's first trace.
-- `rolled_back_at` is NULL where it has not come back.
CREATE OR REPLACE MACRO rollbacks(
    since := NULL, until := NULL, of_route := NULL,
    min_traces := NULL, max_error_rate := NULL, factor := NULL, max_fail_rate := NULL
) AS TABLE
WITH bad AS MATERIALIZED (
    FROM regressions(
        since := since, until := until, of_route := of_route, min_traces := min_traces,
        max_error_rate := max_error_rate, factor := factor, max_fail_rate := max_fail_rate
    )
),
buckets AS (
    SELECT
        bad.route,
        bad.tuple_id,
        bad.before_tuple_id,
        time_bucket(INTERVAL 10 MINUTES, traces.start_time) AS bucket,
        sum(CASE WHEN traces.tuple_id = bad.tuple_id THEN 1 ELSE 0 END) AS bad_traces,
        sum(CASE WHEN traces.tuple_id = bad.before_tuple_id THEN 1 ELSE 0 END) AS before_traces,
        min(CASE WHEN traces.tuple_id = bad.before_tuple_id THEN traces.start_time END) AS before_seen
    FROM bad
    JOIN traces ON traces.route = bad.route AND traces.tuple_id IN (bad.tuple_id, bad.before_tuple_id)
    WHERE within(traces.start_time, since, until)
    GROUP BY bad.route, bad.tuple_id, bad.before_tuple_id, bucket
),
leads AS (
    SELECT
        *,
        min(CASE WHEN bad_traces > before_traces THEN bucket END) OVER (
            PARTITION BY route, tuple_id, before_tuple_id
        ) AS worst
    FROM buckets
),
returns AS (
    SELECT route, tuple_id, before_tuple_id, min(before_seen) AS rolled_back_at
    FROM leads
    WHERE bucket > worst AND before_traces > bad_traces
    GROUP BY route, tuple_id, before_tuple_id
)
SELECT
    bad.route,
    bad.tuple_id,
    bad.before_tuple_id,
    bad.worse,
    bad.first_seen AS began_at,
    returns.rolled_back_at,
    date_diff('second', bad.first_seen, returns.rolled_back_at) / 60.0 AS minutes
FROM bad
LEFT JOIN returns
    ON returns.route = bad.route
    AND returns.tuple_id = bad.tuple_id
    AND returns.before_tuple_id = bad.before_tuple_id
ORDER BY began_at;
