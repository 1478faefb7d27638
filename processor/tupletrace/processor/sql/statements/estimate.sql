-- What was estimated (registered as `estimates`) of calls that settle.
UPDATE settled_llm_calls SET
    estimated_input_tokens = estimates.estimated_input_tokens,
    estimated_output_tokens = estimates.estimated_output_tokens,
    estimated_by = estimates.estimated_by
FROM estimates
WHERE settled_llm_calls.trace_id = estimates.trace_id
  AND settled_llm_calls.span_id = estimates.span_id
  AND settled_llm_calls.settled_seq = indexed_seq();
