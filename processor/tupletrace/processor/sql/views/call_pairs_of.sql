-- Two spans of one of the `tangled` traces that describe one call: an outer one (a framework's) and an inner one (a client's).
-- The outer one is an ancestor of the inner one; or another library's span began while it ran, and nothing
-- contradicts; or it knows no usage (a stream's opening) and another library's, beside it and next, does.
-- Two beside one another of which neither tokens nor a response's id say that they are one (`doubted`) are two if they
-- were asked differently (by their texts: each library writes messages in its own way, so hashes differ); where
-- that is not told, if the outer one knows the tokens and ends first. What nothing tells apart is taken for one call.
-- A stream may be said to end where it was opened: it ran until its last event.
CREATE OR REPLACE MACRO call_pairs_of(members, tangled, ancestors) AS TABLE
WITH said AS MATERIALIZED (
    SELECT
        trace_id, span_id, parent_span_id, name, scope_name, start_unix_nano, end_unix_nano, embeds, runs,
        used AS has_usage,
        CASE WHEN used THEN input_tokens END AS input_tokens,
        CASE WHEN used THEN output_tokens END AS output_tokens,
        request_model, response_model, response_id, status_code, finish, journal_seq
    FROM call_spans_of(members)
    WHERE trace_id IN (SELECT trace_id FROM query_table(tangled))
),
last_events AS (
    SELECT trace_id, span_id, start_unix_nano, list_max(list_transform(events, lambda one: one.time_unix_nano)) AS at
    FROM spans
    WHERE journal_seq >= (SELECT min(journal_seq) FROM said WHERE NOT has_usage)
      AND trace_id IN (SELECT trace_id FROM said WHERE NOT has_usage)
      AND len(events) > 0
),
calls AS MATERIALIZED (
    SELECT said.* REPLACE (greatest(said.end_unix_nano, CASE WHEN NOT has_usage THEN last_events.at END) AS end_unix_nano)
    FROM said
    LEFT JOIN last_events USING (trace_id, span_id, start_unix_nano)
),
candidates AS MATERIALIZED (
    SELECT
        outer_call.trace_id,
        outer_call.span_id AS outer_id,
        outer_call.start_unix_nano AS outer_start_unix_nano,
        outer_call.has_usage AS outer_has_usage,
        outer_call.runs AS outer_runs,
        inner_call.span_id AS inner_id,
        inner_call.start_unix_nano AS inner_start_unix_nano,
        inner_call.has_usage AS inner_has_usage,
        100 AS distance,
        NOT (outer_has_usage AND inner_has_usage)
            AND NOT coalesce(outer_call.response_id = inner_call.response_id, FALSE) AS doubted,
        outer_has_usage AND inner_call.end_unix_nano > outer_call.end_unix_nano AS outlasts,
        least(outer_call.journal_seq, inner_call.journal_seq) AS first_seq
    FROM calls AS outer_call
    JOIN calls AS inner_call
        ON inner_call.trace_id = outer_call.trace_id
        AND inner_call.scope_name <> outer_call.scope_name
        AND inner_call.start_unix_nano > outer_call.start_unix_nano
        AND inner_call.start_unix_nano <= outer_call.end_unix_nano
        AND same_call(outer_call, inner_call)
    UNION ALL
    SELECT
        outer_call.trace_id,
        outer_call.span_id,
        outer_call.start_unix_nano,
        FALSE,
        FALSE,
        inner_call.span_id,
        inner_call.start_unix_nano,
        TRUE,
        200,
        TRUE,
        FALSE,
        least(outer_call.journal_seq, inner_call.journal_seq)
    FROM calls AS outer_call
    JOIN calls AS inner_call
        ON inner_call.trace_id = outer_call.trace_id
        AND inner_call.parent_span_id = outer_call.parent_span_id
        AND inner_call.start_unix_nano > outer_call.start_unix_nano
        AND inner_call.start_unix_nano <= outer_call.end_unix_nano + 10000000000
        AND inner_call.name <> outer_call.name
        AND coalesce(inner_call.finish = outer_call.finish, TRUE)
        AND same_call(outer_call, inner_call)
    WHERE NOT outer_call.has_usage
      AND outer_call.response_id IS NULL
      AND outer_call.status_code <> 'ERROR'
      AND inner_call.response_id IS NOT NULL
),
questions AS MATERIALIZED (
    SELECT trace_id, span_id, start_unix_nano, last_question(input_messages) AS asked
    FROM spans
    WHERE journal_seq >= (SELECT min(first_seq) FROM candidates WHERE doubted)
      AND trace_id IN (SELECT trace_id FROM candidates WHERE doubted)
      AND describes_call(operation_name, input_tokens, output_tokens)
),
alongside AS (
    SELECT
        candidates.*,
        row_number() OVER (
            PARTITION BY candidates.trace_id, inner_id, distance ORDER BY outer_start_unix_nano DESC
        ) AS position
    FROM candidates
    LEFT JOIN questions AS outer_question
        ON doubted
        AND outer_question.trace_id = candidates.trace_id
        AND outer_question.span_id = outer_id
        AND outer_question.start_unix_nano = outer_start_unix_nano
    LEFT JOIN questions AS inner_question
        ON doubted
        AND inner_question.trace_id = candidates.trace_id
        AND inner_question.span_id = inner_id
        AND inner_question.start_unix_nano = inner_start_unix_nano
    WHERE NOT doubted
       -- A framework may have written more around what was asked, or a limit cut it.
       OR coalesce(
           contains(inner_question.asked, outer_question.asked) OR contains(outer_question.asked, inner_question.asked),
           NOT outlasts
       )
)
SELECT
    outer_call.trace_id,
    outer_call.span_id AS outer_id,
    outer_call.has_usage AS outer_has_usage,
    outer_call.runs AS outer_runs,
    inner_call.span_id AS inner_id,
    inner_call.has_usage AS inner_has_usage,
    above.distance
FROM calls AS inner_call
JOIN query_table(ancestors) AS above
    ON above.trace_id = inner_call.trace_id
    AND above.span_id = inner_call.span_id
JOIN calls AS outer_call
    ON outer_call.trace_id = above.trace_id
    AND outer_call.span_id = above.ancestor_id
    AND outer_call.embeds = inner_call.embeds
WHERE above.distance > 0
  AND NOT EXISTS (
      SELECT 1
      FROM query_table(ancestors) AS circle
      WHERE circle.trace_id = outer_call.trace_id
        AND circle.span_id = outer_call.span_id
        AND circle.ancestor_id = outer_call.span_id
        AND circle.distance > 0
  )
UNION ALL
SELECT trace_id, outer_id, outer_has_usage, outer_runs, inner_id, inner_has_usage, distance
FROM alongside
WHERE distance = 100 OR position = 1;
