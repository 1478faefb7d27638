-- Traces whose root has not come: still running, or lost with their process.
CREATE OR REPLACE MACRO unfinished_traces(since := NULL, until := NULL, of_route := NULL) AS TABLE
SELECT trace_id, route, service_name, start_time, spans, llm_calls, cost_usd, cost_status
FROM traces
WHERE NOT complete AND within(start_time, since, until) AND (of_route IS NULL OR route = of_route)
ORDER BY start_time;
