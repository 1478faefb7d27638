-- Tuple coverage by `part`: `route`, `day`, `service`; every trace weighs the same, the worst first. A layer's ratio is
-- over the traces in which it took part; `declared_coverage` is without layers that were only fingerprinted.
CREATE OR REPLACE MACRO coverage_by(part, since := NULL, until := NULL, of_route := NULL) AS TABLE
SELECT *
FROM (
    SELECT
        CASE part
            WHEN 'route' THEN route
            WHEN 'day' THEN CAST(day AS VARCHAR)
            WHEN 'service' THEN service_name
            ELSE error('coverage_by: no coverage by ' || part || ', but by route, day, service')
        END AS value,
        unnest(covering(traces))
    FROM traces
    WHERE covered IS NOT NULL
      AND within(start_time, since, until)
      AND (of_route IS NULL OR route = of_route)
    GROUP BY value
) AS counted
ORDER BY coverage, traces DESC, value;
