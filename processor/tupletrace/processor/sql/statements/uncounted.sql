-- Calls that settle and whose tokens nobody counted, with the texts that were sent and answered; NULL texts: some part
-- of them is no text, or was not captured.
WITH uncounted AS (
    SELECT trace_id, span_id, coalesce(response_model, request_model) AS model
    FROM settling_calls
    WHERE usage_status = 'absent'
      AND status_code <> 'ERROR'
),
said AS (
    SELECT
        uncounted.trace_id,
        uncounted.span_id,
        uncounted.model,
        TRY_CAST(max(spans.input_messages) AS JSON) AS asked,
        TRY_CAST(max(spans.output_messages) AS JSON) AS answered,
        max(spans.system_instructions) AS instructions,
        max(spans.tool_definitions) AS tools
    FROM uncounted
    JOIN settling_roles AS roles
        ON coalesce(roles.duplicate_of_trace_id, roles.trace_id) = uncounted.trace_id
        AND coalesce(roles.duplicate_of, roles.span_id) = uncounted.span_id
    JOIN spans
        ON spans.trace_id = roles.trace_id
        AND spans.span_id = roles.span_id
        AND spans.start_unix_nano = roles.start_unix_nano
        AND spans.journal_seq >= (SELECT min(first_seq) FROM settling)
    GROUP BY uncounted.trace_id, uncounted.span_id, uncounted.model
)
SELECT
    trace_id,
    span_id,
    model,
    json_array_length(asked) AS messages,
    list_filter(message_texts(asked) || [instructions, tools], lambda text: text IS NOT NULL) AS asked,
    message_texts(answered) AS answered
FROM said
WHERE message_texts(asked) IS NOT NULL
  AND message_texts(answered) IS NOT NULL;
