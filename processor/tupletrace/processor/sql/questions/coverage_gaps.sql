-- Why traces are not covered: the layer that is missing and the reason, most frequent first. `traces` lack it.
CREATE OR REPLACE MACRO coverage_gaps(since := NULL, until := NULL, of_route := NULL) AS TABLE
SELECT
    traces.route,
    traces.service_name,
    layers.layer,
    coalesce(layers.reason, 'nothing says it') AS reason,
    count(DISTINCT traces.trace_id) AS traces,
    max(traces.start_time) AS last_seen,
    max(traces.trace_id) AS example_trace_id
FROM traces
JOIN trace_layers AS layers ON layers.trace_id = traces.trace_id
WHERE layers.provenance = 'missing'
  AND within(traces.start_time, since, until)
  AND (of_route IS NULL OR traces.route = of_route)
GROUP BY traces.route, traces.service_name, layers.layer, layers.reason
ORDER BY traces DESC, traces.route, layers.layer;
