-- What each tuple did on each route, side by side: errors, latency, tokens, cost, finish reasons, evaluations.
-- Rates are 0..1, over the number beside them; NULL where nothing was measured.
CREATE OR REPLACE MACRO tuple_quality(since := NULL, until := NULL, of_route := NULL) AS TABLE
WITH served AS (
    SELECT *
    FROM traces
    WHERE tuple_id IS NOT NULL
      AND within(start_time, since, until)
      AND (of_route IS NULL OR route = of_route)
),
calls AS (
    SELECT
        calls.trace_id,
        count(*) AS llm_calls,
        min(calls.time_to_first_chunk_s) AS time_to_first_chunk_s,
        sum(CASE WHEN calls.finish_reasons LIKE '%length%' THEN 1 ELSE 0 END) AS cut_off,
        sum(CASE WHEN calls.finish_reasons LIKE '%content_filter%' THEN 1 ELSE 0 END) AS filtered
    FROM llm_calls AS calls
    JOIN served ON served.trace_id = calls.trace_id
    GROUP BY calls.trace_id
),
judged AS (
    SELECT
        evaluations.trace_id,
        count(evaluations.passed) AS evaluated,
        sum(CASE WHEN evaluations.passed THEN 0 WHEN NOT evaluations.passed THEN 1 END) AS failed,
        avg(evaluations.score_value) AS score
    FROM evaluations
    JOIN served ON served.trace_id = evaluations.trace_id
    GROUP BY evaluations.trace_id
)
SELECT
    served.route,
    served.tuple_id,
    count(*) AS traces,
    min(served.start_time) AS first_seen,
    max(served.start_time) AS last_seen,
    avg(CASE WHEN served.status_code = 'ERROR' THEN 1.0 ELSE 0.0 END) AS error_rate,
    quantile_cont(served.duration_ns / 1e9, 0.5) AS duration_p50_s,
    quantile_cont(served.duration_ns / 1e9, 0.95) AS duration_p95_s,
    quantile_cont(calls.time_to_first_chunk_s, 0.5) AS time_to_first_chunk_p50_s,
    avg(served.input_tokens) AS input_tokens,
    avg(served.output_tokens) AS output_tokens,
    CAST(CAST(sum(served.cost_usd) AS DOUBLE) / nullif(count(served.cost_usd), 0) AS DECIMAL(24, 12))
        AS cost_per_trace_usd,
    CAST(sum(served.unpriced_calls) AS BIGINT) AS unpriced_calls,
    CAST(sum(calls.llm_calls) AS BIGINT) AS llm_calls,
    sum(calls.cut_off) / sum(calls.llm_calls) AS cut_off_rate,
    sum(calls.filtered) / sum(calls.llm_calls) AS filtered_rate,
    CAST(sum(judged.evaluated) AS BIGINT) AS evaluated,
    sum(judged.failed) / nullif(sum(judged.evaluated), 0) AS eval_fail_rate,
    avg(judged.score) AS score
FROM served
LEFT JOIN calls ON calls.trace_id = served.trace_id
LEFT JOIN judged ON judged.trace_id = served.trace_id
GROUP BY served.route, served.tuple_id
ORDER BY served.route, first_seen;
