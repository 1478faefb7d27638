-- The spans among `members` (a relation like live_spans) that describe an LLM call; several may describe the same one.
CREATE OR REPLACE MACRO call_spans_of(members) AS TABLE
SELECT
    *,
    operation_name = 'embeddings' AS embeds,
    input_tokens IS NOT NULL OR output_tokens IS NOT NULL AS has_usage,
    start_unix_nano + duration_ns AS end_unix_nano,
    replace(replace(finish_reasons, 'tool_calls', 'tool_call'), 'tool-calls', 'tool_call') AS finish
FROM query_table(members)
WHERE operation_name IN ('chat', 'text_completion', 'generate_content', 'embeddings');
