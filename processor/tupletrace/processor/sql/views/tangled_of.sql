-- Traces among `members` in which several spans may describe one call, or another span its prompt. In all others
-- every call span is a call: what is dear about counting once is done for these alone.
CREATE OR REPLACE MACRO tangled_of(members, lost_parents) AS TABLE
WITH calls AS (
    SELECT
        trace_id, span_id, parent_span_id, scope_name, response_id, has_usage,
        NOT has_usage AND response_id IS NULL AND status_code <> 'ERROR' AS knows_nothing
    FROM call_spans_of(members)
)
-- A call stands above another span.
SELECT below.trace_id
FROM query_table(members) AS below
JOIN calls ON calls.trace_id = below.trace_id AND calls.span_id = below.parent_span_id
UNION
-- Two libraries, a stream that was told of in two spans, one response twice, one around whatever lost its parent.
SELECT trace_id
FROM calls
GROUP BY trace_id
HAVING min(scope_name) <> max(scope_name)
    OR (bool_or(knows_nothing) AND count(response_id) > 0)
    OR count(response_id) > count(DISTINCT response_id)
    OR (bool_or(parent_span_id IS NULL) AND count(*) > 1)
UNION
-- Templates that were run, responses that were fetched again.
SELECT trace_id
FROM query_table(members)
WHERE operation_name = 'fetch_response'
   OR (coalesce(operation_name, 'prompt') = 'prompt' AND (prompt_version IS NOT NULL OR name LIKE '%PromptTemplate'))
UNION
SELECT unnest([trace_id, framework_trace_id])
FROM query_table(lost_parents);
