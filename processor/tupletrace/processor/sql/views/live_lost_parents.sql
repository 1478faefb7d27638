-- `lost_parents_of` all open traces.
CREATE OR REPLACE VIEW live_lost_parents AS
WITH open_calls AS MATERIALIZED (
    SELECT
        trace_id, span_id, parent_span_id, name, scope_name, start_unix_nano, end_unix_nano, duration_ns, embeds, request_model,
        response_model, input_tokens, output_tokens, response_id, status_code
    FROM call_spans_of('live_spans')
)
FROM lost_parents_of('open_calls');
