-- Which tuples served which route in which hour: `share` (0..1) is of the route's traces of that hour.
CREATE OR REPLACE MACRO tuple_shares(since := NULL, until := NULL, of_route := NULL) AS TABLE
WITH served AS (
    SELECT
        date_trunc('hour', start_time) AS hour,
        route,
        tuple_id,
        count(*) AS traces,
        min(start_time) AS first_seen,
        max(start_time) AS last_seen
    FROM traces
    WHERE tuple_id IS NOT NULL
      AND within(start_time, since, until)
      AND (of_route IS NULL OR route = of_route)
    GROUP BY ALL
)
SELECT
    hour,
    route,
    tuple_id,
    traces,
    traces / sum(traces) OVER (PARTITION BY hour, route) AS share,
    first_seen,
    last_seen
FROM served
ORDER BY hour, route, traces DESC;
