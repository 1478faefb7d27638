-- Share of traces in which every layer that took part is identified, per day and route; ratios 0..1.
CREATE OR REPLACE VIEW tuple_coverage AS
SELECT
    day,
    route,
    unnest(covering(traces))
FROM traces
WHERE covered IS NOT NULL
GROUP BY day, route;
