-- The spans of open traces that describe an LLM call; several may describe the same one.
CREATE OR REPLACE VIEW live_call_spans AS
SELECT
    *,
    operation_name = 'embeddings' AS embeds,
    input_tokens IS NOT NULL OR output_tokens IS NOT NULL AS has_usage,
    start_unix_nano + duration_ns AS end_unix_nano,
    replace(replace(finish_reasons, 'tool_calls', 'tool_call'), 'tool-calls', 'tool_call') AS finish
FROM spans
WHERE operation_name IN ('chat', 'text_completion', 'generate_content', 'embeddings')
  AND trace_id IN (SELECT trace_id FROM open_traces)
  AND day >= (SELECT min(first_day) FROM open_traces);
