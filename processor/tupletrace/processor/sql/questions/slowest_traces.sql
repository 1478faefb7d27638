-- Traces by how long they took, the slowest first, with their cost and tuple.
CREATE OR REPLACE MACRO slowest_traces(since := NULL, until := NULL, of_route := NULL) AS TABLE
SELECT trace_id, route, start_time, duration_ns / 1e9 AS duration_s, llm_calls, cost_usd, cost_status, status_code, tuple_id
FROM traces
WHERE within(start_time, since, until) AND (of_route IS NULL OR route = of_route)
ORDER BY duration_ns DESC;
