-- Two spans of one of the `tangled` traces that describe one call: an outer one (a framework's) and an inner one (a client's).
-- The outer one is an ancestor of the inner one; or another library's span began while it ran, and nothing
-- contradicts; or it knows no usage (a stream's opening) and another library's, beside it and next, does.
CREATE OR REPLACE MACRO call_pairs_of(members, tangled, ancestors) AS TABLE
WITH calls AS MATERIALIZED (
    SELECT
        trace_id, span_id, parent_span_id, name, scope_name, start_unix_nano, end_unix_nano, embeds, runs,
        used AS has_usage,
        CASE WHEN used THEN input_tokens END AS input_tokens,
        CASE WHEN used THEN output_tokens END AS output_tokens,
        request_model, response_model, response_id, status_code, finish
    FROM call_spans_of(members)
    WHERE trace_id IN (SELECT trace_id FROM query_table(tangled))
),
beside AS (
    SELECT
        outer_call.trace_id,
        outer_call.span_id AS outer_id,
        inner_call.span_id AS inner_id,
        row_number() OVER (
            PARTITION BY inner_call.trace_id, inner_call.span_id ORDER BY outer_call.start_unix_nano DESC
        ) AS position
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
SELECT
    outer_call.trace_id, outer_call.span_id, outer_call.has_usage, outer_call.runs, inner_call.span_id,
    inner_call.has_usage, 100
FROM calls AS outer_call
JOIN calls AS inner_call
    ON inner_call.trace_id = outer_call.trace_id
    AND inner_call.scope_name <> outer_call.scope_name
    AND inner_call.start_unix_nano > outer_call.start_unix_nano
    AND inner_call.start_unix_nano <= outer_call.end_unix_nano
    AND same_call(outer_call, inner_call)
UNION ALL
SELECT trace_id, outer_id, FALSE, FALSE, inner_id, TRUE, 200
FROM beside
WHERE position = 1;
