-- Traces by what they cost, the dearest first; those without a price are not among them.
CREATE OR REPLACE MACRO dearest_traces(since := NULL, until := NULL, of_route := NULL) AS TABLE
SELECT trace_id, route, start_time, cost_usd, cost_status, llm_calls, input_tokens, output_tokens, duration_ns / 1e9 AS duration_s, tuple_id
FROM traces
WHERE cost_usd IS NOT NULL AND within(start_time, since, until) AND (of_route IS NULL OR route = of_route)
ORDER BY cost_usd DESC, trace_id;
