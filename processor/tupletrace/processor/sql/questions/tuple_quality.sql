-- What each tuple did on each route, side by side: errors, latency, tokens, cost, finish reasons, tools, evaluations.
-- Rates are 0..1, over the number beside them; NULL where nothing was measured. `judge_score`, `grounding_score`: means of
-- scores of 0..1; `eval_fail_rate` is of judges' verdicts, `feedback_positive` of users'.
CREATE OR REPLACE MACRO tuple_quality(since := NULL, until := NULL, of_route := NULL) AS TABLE
WITH served AS MATERIALIZED (
    SELECT *
    FROM settled_traces
    WHERE tuple_id IS NOT NULL
      AND within(start_time, since, until)
      AND (of_route IS NULL OR route = of_route)
),
calls AS (
    SELECT
        calls.trace_id,
        count(*) AS llm_calls,
        min(calls.time_to_first_chunk_s) AS time_to_first_chunk_s,
        sum(CASE WHEN calls.output_tokens > 0 THEN calls.duration_ns END) / 1e9
            / sum(CASE WHEN calls.output_tokens > 0 THEN calls.output_tokens END) AS seconds_per_output_token,
        sum(CASE WHEN calls.finish_reasons LIKE '%length%' THEN 1 ELSE 0 END) AS cut_off,
        sum(CASE WHEN calls.finish_reasons LIKE '%content_filter%' THEN 1 ELSE 0 END) AS filtered
    FROM settled_llm_calls AS calls
    -- Settled together: where they are stored is known.
    JOIN served ON served.settled_seq = calls.settled_seq AND served.trace_id = calls.trace_id
    GROUP BY calls.trace_id
),
tools AS (
    SELECT
        spans.trace_id,
        count(*) AS tool_calls,
        sum(CASE WHEN spans.status_code = 'ERROR' THEN 1 ELSE 0 END) AS failed
    FROM spans
    JOIN served ON served.trace_id = spans.trace_id
    WHERE spans.operation_name = 'execute_tool'
      AND spans.journal_seq BETWEEN (SELECT min(first_seq) FROM served) AND (SELECT max(settled_seq) FROM served)
    GROUP BY spans.trace_id
),
judged AS (
    SELECT
        served.route,
        served.tuple_id,
        sum(CASE WHEN kind <> 'feedback' AND passed IS NOT NULL THEN 1 ELSE 0 END) AS evaluated,
        avg(CASE WHEN kind <> 'feedback' AND passed IS NOT NULL THEN CASE WHEN passed THEN 0.0 ELSE 1.0 END END) AS eval_fail_rate,
        avg(CASE WHEN kind IN ('judge', 'grounding') THEN score END) AS score,
        avg(CASE WHEN kind = 'judge' THEN score END) AS judge_score,
        avg(CASE WHEN kind = 'grounding' THEN score END) AS grounding_score,
        sum(CASE WHEN kind = 'feedback' AND passed IS NOT NULL THEN 1 ELSE 0 END) AS feedback,
        avg(CASE WHEN kind = 'feedback' AND passed IS NOT NULL THEN CASE WHEN passed THEN 1.0 ELSE 0.0 END END) AS feedback_positive
    FROM (
        -- One of a conversation counts once for each tuple that took part in it.
        SELECT DISTINCT
            traces.route, traces.tuple_id, said.evaluation_id, said.kind, said.passed, said.score
        FROM trace_evaluations AS said
        JOIN served AS traces ON traces.trace_id = said.trace_id
    ) AS served
    GROUP BY served.route, served.tuple_id
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
    quantile_cont(calls.seconds_per_output_token, 0.5) AS seconds_per_output_token_p50,
    avg(served.input_tokens) AS input_tokens,
    avg(served.output_tokens) AS output_tokens,
    CAST(CAST(sum(served.cost_usd) AS DOUBLE) / nullif(count(served.cost_usd), 0) AS DECIMAL(24, 12))
        AS cost_per_trace_usd,
    CAST(sum(served.unpriced_calls) AS BIGINT) AS unpriced_calls,
    CAST(sum(calls.llm_calls) AS BIGINT) AS llm_calls,
    sum(calls.cut_off) / sum(calls.llm_calls) AS cut_off_rate,
    sum(calls.filtered) / sum(calls.llm_calls) AS filtered_rate,
    CAST(sum(tools.tool_calls) AS BIGINT) AS tool_calls,
    sum(tools.failed) / sum(tools.tool_calls) AS tool_error_rate,
    CAST(coalesce(any_value(judged.evaluated), 0) AS BIGINT) AS evaluated,
    any_value(judged.eval_fail_rate) AS eval_fail_rate,
    any_value(judged.score) AS score,
    any_value(judged.judge_score) AS judge_score,
    any_value(judged.grounding_score) AS grounding_score,
    CAST(coalesce(any_value(judged.feedback), 0) AS BIGINT) AS feedback,
    any_value(judged.feedback_positive) AS feedback_positive,
    min(served.trace_id) AS example_trace_id
FROM served
LEFT JOIN calls ON calls.trace_id = served.trace_id
LEFT JOIN tools ON tools.trace_id = served.trace_id
LEFT JOIN judged ON judged.route = served.route AND judged.tuple_id = served.tuple_id
GROUP BY served.route, served.tuple_id
ORDER BY served.route, first_seen;
