-- Tuples that are worse than the tuple before them on their route, and by what: a comma-separated list of `errors`
-- (rate above `max_error_rate` and above the other's), `latency` (p95), `first_chunk` (p50), `cost` (per trace;
-- each above `factor` times the other's) and `evaluations` (fail rate above `max_fail_rate` and above the other's).
-- Both need `min_traces`: fewer say nothing.
CREATE OR REPLACE MACRO regressions(
    since := NULL, until := NULL, of_route := NULL,
    min_traces := 20, max_error_rate := 0.05, factor := 2.0, max_fail_rate := 0.3
) AS TABLE
WITH ordered AS (
    SELECT
        *,
        lag(tuple_id) OVER successive AS before_tuple_id,
        lag(traces) OVER successive AS before_traces,
        lag(error_rate) OVER successive AS before_error_rate,
        lag(duration_p95_s) OVER successive AS before_duration_p95_s,
        lag(time_to_first_chunk_p50_s) OVER successive AS before_first_chunk_p50_s,
        lag(cost_per_trace_usd) OVER successive AS before_cost_per_trace_usd,
        lag(eval_fail_rate) OVER successive AS before_eval_fail_rate
    FROM tuple_quality(since := since, until := until, of_route := of_route)
    WINDOW successive AS (PARTITION BY route ORDER BY first_seen)
),
judged AS (
    SELECT
        *,
        concat_ws(
            ', ',
            CASE WHEN error_rate > max_error_rate AND error_rate > before_error_rate THEN 'errors' END,
            CASE WHEN duration_p95_s > factor * before_duration_p95_s THEN 'latency' END,
            CASE WHEN time_to_first_chunk_p50_s > factor * before_first_chunk_p50_s THEN 'first_chunk' END,
            CASE WHEN cost_per_trace_usd > factor * before_cost_per_trace_usd THEN 'cost' END,
            CASE
                WHEN eval_fail_rate > max_fail_rate AND eval_fail_rate > coalesce(before_eval_fail_rate, 0)
                    THEN 'evaluations'
            END
        ) AS worse
    FROM ordered
    WHERE traces >= min_traces AND before_traces >= min_traces
)
SELECT
    route, tuple_id, before_tuple_id, worse, first_seen, last_seen, traces, before_traces,
    error_rate, before_error_rate, duration_p95_s, before_duration_p95_s,
    cost_per_trace_usd, before_cost_per_trace_usd, eval_fail_rate, before_eval_fail_rate
FROM judged
WHERE worse <> ''
ORDER BY first_seen;
