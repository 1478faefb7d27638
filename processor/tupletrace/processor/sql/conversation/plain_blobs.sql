-- `blobs` as for `conversations`; left out is every conversation of which one message is in another shape.
CREATE MACRO plain_blobs(blobs) AS TABLE
WITH opened_blobs AS MATERIALIZED (
    SELECT
        span,
        side,
        CASE WHEN starts_with(said, '[') THEN TRY(from_json(said, '[' || message_shape() || ']')) END AS list,
        -- LangChain's batches.
        CASE WHEN regexp_matches(said, '^\{[^\[]*"(messages|generations)"\s*:\s*\[\s*\[') THEN TRY(from_json(
            said, '{"messages":[[' || message_shape() || ']],"generations":[[' || message_shape() || ']]}'
        )) END AS batches,
        CASE WHEN starts_with(said, '{') AND batches IS NULL THEN TRY(from_json(
            said,
            '{"messages":[' || message_shape() || '],"choices":[' || message_shape() || '],"system":"JSON","role":"JSON"}'
        )) END AS body,
        said
    FROM query_table(blobs)
),
listed AS MATERIALIZED (
    SELECT span, side, unnest(messages) AS said, unnest(range(len(messages))) AS message
    FROM (
        SELECT span, side, coalesce(
            list, batches.messages[1], batches.generations[1], CASE WHEN body.system IS NULL THEN body.messages END,
            body.choices, CASE WHEN is_text(body.role) THEN [from_json(said, message_shape())] END
        ) AS messages
        FROM opened_blobs
    ) AS found
),
unwrapped AS MATERIALIZED (
    SELECT
        span, side, message, said, inside,
        coalesce(CASE WHEN starts_with(kwargs, '{') THEN from_json(kwargs, message_shape()) END, inside, said) AS m,
        (said.message IS NULL OR inside IS NOT NULL) AND (kwargs IS NULL OR starts_with(kwargs, '{')) AS known
    FROM (
        SELECT *, CASE WHEN inside IS NULL THEN said.kwargs ELSE inside.kwargs END AS kwargs
        FROM (
            SELECT *, CASE WHEN starts_with(said.message, '{') THEN from_json(said.message, message_shape()) END AS inside
            FROM listed
        ) AS opened
    ) AS unpacked
),
heads AS MATERIALIZED (
    SELECT
        span,
        side,
        message,
        coalesce(
            said.finish_reason, said.finishReason, said.stop_reason, said.generation_info.finish_reason,
            CASE WHEN inside.kwargs IS NOT NULL THEN m.response_metadata.finish_reason END
        ) ->> '$' AS finish,
        CASE coalesce(m.role, m.type)
            WHEN '"human"' THEN '"user"' WHEN '"ai"' THEN '"assistant"' ELSE coalesce(m.role, m.type)
        END AS role,
        m.tool_call_id AS answers,
        m.content AS content,
        coalesce(m.tool_calls, m.additional_kwargs.tool_calls, m.toolCalls) AS said_calls,
        CASE
            WHEN is_nothing(said_calls) THEN CAST([] AS VARCHAR[])
            WHEN starts_with(said_calls, '[')
                THEN list_transform(from_json(said_calls, '[{' || call_shape() || '}]'), lambda c: call_in(c))
        END AS calls,
        CASE WHEN starts_with(content, '[')
            THEN list_transform(from_json(content, '[{' || block_shape() || '}]'), lambda b: part_in(b)) END AS blocks,
        known
            AND is_nothing(m.parts) AND is_nothing(m.blocks) AND is_nothing(m.function_call) AND is_nothing(m.reasoning)
            AND is_nothing(m.reasoning_content) AND is_nothing(m.additional_kwargs.function_call)
            AND is_nothing(m.additional_kwargs.reasoning_content)
            AND (content IS NOT NULL OR coalesce(m.text, m.refusal) IS NULL) AS known
    FROM unwrapped
)
SELECT span, side, '[' || string_agg(told, ',' ORDER BY message) || ']' AS messages
FROM (
    SELECT
        span, side, message,
        CASE WHEN known THEN plain_message(side, role, plain_parts(role, answers, content, calls, blocks), finish) END AS told
    FROM heads
) AS each_message
GROUP BY span, side
HAVING count(told) = count(*);
