-- What came from whom, and what is wrong with it: per service and dialect the spans and traces, when last, and how many
-- traces are unfinished, spans name a parent that never came, calls that succeeded say no tokens, calls have no price,
-- and spans contradict themselves. `lost_requests` has what could not be read.
CREATE OR REPLACE MACRO ingest_health(since := NULL, until := NULL, of_route := NULL) AS TABLE
WITH came AS (
    SELECT trace_id, span_id, parent_span_id, service_name, dialect, start_time, conflicts
    FROM spans
    WHERE within(start_time, since, until)
      AND (of_route IS NULL OR trace_id IN (SELECT trace_id FROM traces WHERE route = of_route))
),
sent AS (
    SELECT
        came.service_name,
        came.dialect,
        count(*) AS spans,
        count(DISTINCT came.trace_id) AS traces,
        min(came.start_time) AS first_seen,
        max(came.start_time) AS last_seen,
        count(DISTINCT CASE WHEN NOT traces.complete THEN came.trace_id END) AS unfinished_traces,
        sum(CASE WHEN came.parent_span_id IS NOT NULL AND parents.span_id IS NULL THEN 1 ELSE 0 END) AS lost_parents,
        sum(CASE WHEN cardinality(came.conflicts) > 0 THEN 1 ELSE 0 END) AS conflicting_spans,
        sum(
            CASE WHEN calls.usage_status = 'absent' AND calls.status_code <> 'ERROR' THEN 1 ELSE 0 END
        ) AS calls_without_usage,
        sum(CASE WHEN calls.cost_status = 'unpriced' THEN 1 ELSE 0 END) AS unpriced_calls,
        count(calls.span_id) AS llm_calls
    FROM came
    LEFT JOIN traces ON traces.trace_id = came.trace_id
    LEFT JOIN (SELECT DISTINCT trace_id, span_id FROM came) AS parents
        ON parents.trace_id = came.trace_id AND parents.span_id = came.parent_span_id
    LEFT JOIN llm_calls AS calls ON calls.trace_id = came.trace_id AND calls.span_id = came.span_id
    GROUP BY came.service_name, came.dialect
)
SELECT
    service_name,
    dialect,
    spans,
    traces,
    first_seen,
    last_seen,
    unfinished_traces,
    CAST(lost_parents AS BIGINT) AS lost_parents,
    CAST(conflicting_spans AS BIGINT) AS conflicting_spans,
    llm_calls,
    CAST(calls_without_usage AS BIGINT) AS calls_without_usage,
    CAST(unpriced_calls AS BIGINT) AS unpriced_calls
FROM sent
ORDER BY spans DESC, service_name, dialect;
