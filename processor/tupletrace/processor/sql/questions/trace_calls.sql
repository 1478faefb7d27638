-- The LLM calls of one trace, in order of time. Faster than a condition on `llm_calls`: where they are stored is known.
CREATE OR REPLACE MACRO trace_calls(of_trace) AS TABLE
SELECT calls.* EXCLUDE (is_root, settled_seq)
FROM settled_traces AS t
JOIN settled_llm_calls AS calls ON calls.settled_seq = t.settled_seq
WHERE t.trace_bits = trace_bits(of_trace) AND t.trace_id = of_trace AND calls.trace_id = of_trace
ORDER BY calls.start_time, calls.span_id;
