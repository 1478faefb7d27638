-- Which errors happened where, most frequent first: `rate` (0..1) is of that operation's spans.
CREATE OR REPLACE MACRO error_taxonomy(since := NULL, until := NULL, of_route := NULL) AS TABLE
WITH counted AS (
    SELECT
        service_name,
        operation_name,
        provider_name,
        CASE WHEN status_code = 'ERROR' THEN coalesce(error_type, 'unknown') END AS error_type,
        count(*) AS spans,
        max(start_time) AS last_seen,
        max(trace_id) AS example_trace_id
    FROM spans
    WHERE within(start_time, since, until)
      AND (of_route IS NULL OR trace_id IN (SELECT trace_id FROM traces WHERE route = of_route))
    GROUP BY ALL
)
SELECT service_name, operation_name, provider_name, error_type, spans, rate, last_seen, example_trace_id
FROM (
    SELECT *, spans / sum(spans) OVER (PARTITION BY service_name, operation_name, provider_name) AS rate
    FROM counted
) AS rated
WHERE error_type IS NOT NULL
ORDER BY spans DESC;
