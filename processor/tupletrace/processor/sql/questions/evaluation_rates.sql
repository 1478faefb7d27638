-- How often what fails, by any of the things that took part: one row an evaluation and value of a `part`: `prompt`, `model`,
-- `route`, `tuple`, `service`, `user`, `agent`. Each evaluation counts once for each value. `tupletrace evaluations` adds
-- Wilson's intervals.
CREATE OR REPLACE MACRO evaluation_rates(part, since := NULL, until := NULL, of_route := NULL) AS TABLE
WITH judged AS MATERIALIZED (
    SELECT said.*, traces.route, traces.tuple_id, traces.service_name, traces.settled_seq
    FROM trace_evaluations AS said
    JOIN settled_traces AS traces ON traces.trace_id = said.trace_id
    WHERE within(traces.start_time, since, until) AND (of_route IS NULL OR traces.route = of_route)
),
-- Settled with their traces: where they are stored is known.
calls AS (
    SELECT *
    FROM settled_llm_calls
    WHERE settled_seq BETWEEN (SELECT min(settled_seq) FROM judged) AND (SELECT max(settled_seq) FROM judged)
),
-- What a span is judged by is that span's; of a trace or a conversation everything took part.
parts AS (
    SELECT DISTINCT
        judged.evaluation_id,
        CASE part
            WHEN 'route' THEN judged.route
            WHEN 'tuple' THEN judged.tuple_id
            WHEN 'service' THEN judged.service_name
            WHEN 'prompt' THEN concat_ws(' ', calls.prompt_name, coalesce(calls.prompt_version, '?'))
            WHEN 'model' THEN coalesce(calls.model_revision, calls.response_model, calls.request_model)
            WHEN 'user' THEN calls.user_id
            WHEN 'agent' THEN calls.agent_name
            ELSE error('evaluation_rates: no rates by ' || part || ', but by prompt, model, route, tuple, service, user, agent')
        END AS value
    FROM judged
    LEFT JOIN calls
        ON calls.trace_id = judged.trace_id
        AND calls.operation_name <> 'embeddings'
        AND (
            calls.span_id = judged.span_id
            OR judged.span_id IS NULL
            OR NOT EXISTS (
                SELECT 1 FROM calls AS own
                WHERE own.trace_id = judged.trace_id AND own.span_id = judged.span_id
            )
        )
)
SELECT
    results.name AS evaluation,
    results.evaluator_name,
    results.evaluator_version,
    any_value(results.kind) AS kind,
    parts.value,
    count(*) AS evaluations,
    count(results.passed) AS judged,
    CAST(sum(CASE WHEN NOT results.passed THEN 1 ELSE 0 END) AS BIGINT) AS failed,
    CAST(sum(CASE WHEN NOT results.passed THEN 1 ELSE 0 END) AS BIGINT) / nullif(count(results.passed), 0) AS fail_rate,
    avg(results.score) AS mean_score
FROM (SELECT DISTINCT ON (evaluation_id) * FROM judged) AS results
JOIN parts ON parts.evaluation_id = results.evaluation_id
GROUP BY results.name, results.evaluator_name, results.evaluator_version, parts.value
ORDER BY evaluation, evaluator_name, evaluator_version, fail_rate DESC NULLS LAST, parts.value;
