-- What was estimated (registered as `estimates`) of calls that settle.
UPDATE settling_calls SET
    estimated_input_tokens = estimates.estimated_input_tokens,
    estimated_output_tokens = estimates.estimated_output_tokens,
    estimated_by = estimates.estimated_by
FROM estimates
WHERE settling_calls.trace_id = estimates.trace_id
  AND settling_calls.span_id = estimates.span_id;
