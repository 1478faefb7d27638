-- Tuples that are worse than the tuple before them on their route, and by what: a comma-separated list of `errors`,
-- `latency` (p95), `first_chunk` (p50), `cost` (per trace), `evaluations` (fail rate), `judge`, `grounding` (mean scores)
-- and `feedback`, each beyond its threshold in `settings` (or the argument) and worse than the other's.
-- The tuple before it: of those that had served the route, in which the same layers took part (an agent that searches now
-- and then alternates between two), the one that shares most of its names with it of those that served until then, or
-- within a day of the last one that did; where there is none, one with other layers that did not serve beside it.
-- Both need `min_traces`: fewer say nothing.
CREATE OR REPLACE MACRO regressions(
    since := NULL, until := NULL, of_route := NULL,
    min_traces := NULL, max_error_rate := NULL, factor := NULL, max_fail_rate := NULL
) AS TABLE
WITH quality AS MATERIALIZED (
    FROM tuple_quality(since := since, until := until, of_route := of_route)
    WHERE traces >= coalesce(min_traces, setting('min_traces'))
),
shapes AS MATERIALIZED (
    SELECT
        quality.route,
        quality.tuple_id,
        list_sort(list(DISTINCT members.layer)) AS layers,
        list(DISTINCT members.layer || chr(9) || coalesce(members.name, '')) AS names
    FROM quality
    JOIN trace_layers AS members ON members.trace_id = quality.example_trace_id
    GROUP BY quality.route, quality.tuple_id
),
pairs AS (
    SELECT
        later.route,
        later.tuple_id,
        later.first_seen,
        later.last_seen,
        earlier.tuple_id AS before_tuple_id,
        earlier.traces AS before_traces,
        earlier_shape.layers = later_shape.layers AS same_layers,
        len(list_intersect(earlier_shape.names, later_shape.names))
            / len(list_distinct(list_concat(earlier_shape.names, later_shape.names))) AS likeness,
        least(earlier.last_seen, later.first_seen) AS served_until
    FROM quality AS later
    JOIN quality AS earlier ON earlier.route = later.route AND earlier.first_seen < later.first_seen
    JOIN shapes AS later_shape ON later_shape.route = later.route AND later_shape.tuple_id = later.tuple_id
    JOIN shapes AS earlier_shape ON earlier_shape.route = earlier.route AND earlier_shape.tuple_id = earlier.tuple_id
),
-- With other layers, and beside it: the two alternate.
beside AS (
    SELECT DISTINCT pairs.route, pairs.tuple_id, pairs.before_tuple_id
    FROM pairs
    JOIN traces
        ON traces.route = pairs.route
        AND traces.tuple_id = pairs.before_tuple_id
        AND traces.start_time > pairs.first_seen
        AND traces.start_time < pairs.last_seen
    WHERE NOT pairs.same_layers
),
dated AS (
    SELECT pairs.*, max(served_until) OVER (PARTITION BY pairs.route, pairs.tuple_id, same_layers) AS latest
    FROM pairs
    LEFT JOIN beside
        ON beside.route = pairs.route
        AND beside.tuple_id = pairs.tuple_id
        AND beside.before_tuple_id = pairs.before_tuple_id
    WHERE beside.tuple_id IS NULL
),
predecessors AS (
    SELECT route, tuple_id, before_tuple_id
    FROM dated
    QUALIFY row_number() OVER (
        PARTITION BY route, tuple_id
        ORDER BY
            same_layers DESC, served_until >= latest - INTERVAL 1 DAY DESC, likeness DESC, served_until DESC,
            before_traces DESC, before_tuple_id
    ) = 1
),
judged AS (
    SELECT
        later.*,
        earlier.tuple_id AS before_tuple_id,
        earlier.traces AS before_traces,
        earlier.error_rate AS before_error_rate,
        earlier.duration_p95_s AS before_duration_p95_s,
        earlier.time_to_first_chunk_p50_s AS before_time_to_first_chunk_p50_s,
        earlier.cost_per_trace_usd AS before_cost_per_trace_usd,
        earlier.eval_fail_rate AS before_eval_fail_rate,
        earlier.judge_score AS before_judge_score,
        earlier.grounding_score AS before_grounding_score,
        earlier.feedback_positive AS before_feedback_positive,
        concat_ws(
            ', ',
            CASE
                WHEN later.error_rate > coalesce(max_error_rate, setting('error_rate'))
                    AND later.error_rate > earlier.error_rate THEN 'errors'
            END,
            CASE
                WHEN later.duration_p95_s > coalesce(factor, setting('latency_factor')) * earlier.duration_p95_s
                    THEN 'latency'
            END,
            CASE
                WHEN later.time_to_first_chunk_p50_s > setting('first_chunk_s')
                    AND later.time_to_first_chunk_p50_s > coalesce(earlier.time_to_first_chunk_p50_s, 0) THEN 'first_chunk'
            END,
            CASE
                WHEN later.cost_per_trace_usd > coalesce(factor, setting('cost_factor')) * earlier.cost_per_trace_usd
                    THEN 'cost'
            END,
            CASE
                WHEN later.eval_fail_rate > coalesce(max_fail_rate, setting('evaluation_fail_rate'))
                    AND later.eval_fail_rate > coalesce(earlier.eval_fail_rate, 0) THEN 'evaluations'
            END,
            CASE
                WHEN later.judge_score < setting('judge_score')
                    AND later.judge_score < coalesce(earlier.judge_score, 1) THEN 'judge'
            END,
            CASE
                WHEN later.grounding_score < setting('grounding_score')
                    AND later.grounding_score < coalesce(earlier.grounding_score, 1) THEN 'grounding'
            END,
            CASE
                WHEN later.feedback_positive < setting('feedback_positive')
                    AND later.feedback_positive < coalesce(earlier.feedback_positive, 1) THEN 'feedback'
            END
        ) AS worse
    FROM predecessors
    JOIN quality AS later ON later.route = predecessors.route AND later.tuple_id = predecessors.tuple_id
    JOIN quality AS earlier ON earlier.route = predecessors.route AND earlier.tuple_id = predecessors.before_tuple_id
)
SELECT
    route, tuple_id, before_tuple_id, worse, first_seen, last_seen, traces, before_traces,
    error_rate, before_error_rate, duration_p95_s, before_duration_p95_s,
    time_to_first_chunk_p50_s, before_time_to_first_chunk_p50_s,
    cost_per_trace_usd, before_cost_per_trace_usd, eval_fail_rate, before_eval_fail_rate,
    judge_score, before_judge_score, grounding_score, before_grounding_score,
    feedback_positive, before_feedback_positive
FROM judged
WHERE worse <> ''
ORDER BY first_seen;
