-- How fast a bad tuple was rolled back: for each regression the time at which the tuple before it had most of the
-- route's traces again (counted in 10-minute buckets), and the minutes since the bad one's first trace.
-- `rolled_back_at` is NULL where it has not come back.
CREATE OR REPLACE MACRO rollbacks(
    since := NULL, until := NULL, of_route := NULL,
    min_traces := 20, max_error_rate := 0.05, factor := 2.0, max_fail_rate := 0.3
) AS TABLE
WITH buckets AS (
    SELECT route, time_bucket(INTERVAL 10 MINUTES, start_time) AS bucket, tuple_id, count(*) AS traces, min(start_time) AS first_seen
    FROM traces
    WHERE tuple_id IS NOT NULL AND within(start_time, since, until)
    GROUP BY ALL
),
majorities AS (
    SELECT route, bucket, arg_max(tuple_id, (traces, tuple_id)) AS tuple_id, arg_max(first_seen, (traces, tuple_id)) AS first_seen
    FROM buckets
    GROUP BY route, bucket
),
bad AS (
    FROM regressions(
        since := since, until := until, of_route := of_route, min_traces := min_traces,
        max_error_rate := max_error_rate, factor := factor, max_fail_rate := max_fail_rate
    )
)
SELECT
    bad.route,
    bad.tuple_id,
    bad.before_tuple_id,
    bad.worse,
    bad.first_seen AS began_at,
    min(back.first_seen) AS rolled_back_at,
    date_diff('second', bad.first_seen, min(back.first_seen)) / 60.0 AS minutes
FROM bad
LEFT JOIN majorities AS worst ON worst.route = bad.route AND worst.tuple_id = bad.tuple_id
LEFT JOIN majorities AS back
    ON back.route = bad.route
    AND back.tuple_id = bad.before_tuple_id
    AND back.bucket > worst.bucket
GROUP BY bad.route, bad.tuple_id, bad.before_tuple_id, bad.worse, bad.first_seen
ORDER BY began_at;
