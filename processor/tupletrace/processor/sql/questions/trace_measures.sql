-- What can be measured of each trace, one row a trace: outcomes, seconds, tokens, USD, evaluations, and the version
-- of each layer (several are listed in one text). NULL where nothing was measured. `evaluations`: each by its name.
-- `of_tuples`: only of a list of tuples; faster than a condition on the answer.
CREATE OR REPLACE MACRO trace_measures(since := NULL, until := NULL, of_route := NULL, of_tuples := NULL) AS TABLE
WITH served AS MATERIALIZED (
    SELECT *
    FROM settled_traces
    WHERE within(start_time, since, until)
      AND (of_route IS NULL OR route = of_route)
      AND (of_tuples IS NULL OR list_contains(of_tuples, tuple_id))
),
calls AS (
    SELECT
        calls.trace_id,
        min(calls.time_to_first_chunk_s) AS time_to_first_chunk_s,
        sum(CASE WHEN calls.output_tokens > 0 THEN calls.duration_ns END) / 1e9
            / sum(CASE WHEN calls.output_tokens > 0 THEN calls.output_tokens END) AS seconds_per_output_token,
        bool_or(calls.finish_reasons LIKE '%length%') AS cut_off,
        bool_or(calls.finish_reasons LIKE '%content_filter%') AS filtered,
        string_agg(DISTINCT calls.finish_reasons, ', ' ORDER BY calls.finish_reasons) AS finish_reasons,
        string_agg(DISTINCT calls.user_id, ', ') AS user_id,
        string_agg(DISTINCT calls.conversation_id, ', ') AS conversation_id
    FROM settled_llm_calls AS calls
    -- Settled together: where they are stored is known.
    JOIN served ON served.settled_seq = calls.settled_seq AND served.trace_id = calls.trace_id
    WHERE calls.operation_name <> 'embeddings'
    GROUP BY calls.trace_id
),
tools AS (
    SELECT spans.trace_id, bool_or(spans.status_code = 'ERROR') AS tool_failed
    FROM spans
    JOIN served ON served.trace_id = spans.trace_id
    WHERE spans.operation_name = 'execute_tool'
      AND spans.journal_seq BETWEEN (SELECT min(first_seq) FROM served) AND (SELECT max(settled_seq) FROM served)
    GROUP BY spans.trace_id
),
judged AS (
    SELECT
        trace_id,
        bool_or(CASE WHEN kind <> 'feedback' THEN NOT passed END) AS evaluation_failed,
        bool_or(CASE WHEN kind = 'feedback' THEN NOT passed END) AS disliked,
        avg(CASE WHEN kind IN ('judge', 'grounding') THEN score END) AS score,
        -- Users and judges may speak of the same.
        map_from_entries(
            list({
                'name': CASE WHEN kind = 'feedback' THEN name || ' (feedback)' ELSE name END,
                'said': {'kind': kind, 'failed': NOT passed, 'score': score}
            })
        ) AS evaluations
    FROM (
        SELECT
            said.trace_id,
            said.name,
            said.kind,
            bool_and(said.passed) AS passed,
            avg(said.score) AS score
        FROM trace_evaluations AS said
        JOIN served ON served.trace_id = said.trace_id
        GROUP BY said.trace_id, said.name, said.kind
    ) AS named
    GROUP BY trace_id
),
layers AS (
    SELECT
        layers_id,
        string_agg(CASE WHEN layer = 'model' THEN member END, ', ' ORDER BY member) AS model,
        string_agg(CASE WHEN layer = 'prompt' THEN member END, ', ' ORDER BY member) AS prompt,
        string_agg(CASE WHEN layer = 'retriever' THEN member END, ', ' ORDER BY member) AS retriever,
        string_agg(CASE WHEN layer = 'tools' THEN member END, ', ' ORDER BY member) AS tools,
        string_agg(CASE WHEN layer = 'evaluator' THEN member END, ', ' ORDER BY member) AS evaluator
    FROM (SELECT layers_id, layer, concat_ws(' ', name, coalesce(version, '?')) AS member FROM settled_layers) AS members
    GROUP BY layers_id
)
SELECT
    served.trace_id,
    served.route,
    served.service_name,
    served.tuple_id,
    served.start_time,
    served.status_code = 'ERROR' AS failed,
    tools.tool_failed,
    calls.cut_off,
    calls.filtered,
    judged.evaluation_failed,
    judged.disliked,
    judged.score,
    served.duration_ns / 1e9 AS duration_s,
    calls.time_to_first_chunk_s,
    calls.seconds_per_output_token,
    served.llm_calls,
    served.input_tokens,
    served.output_tokens,
    CAST(served.cost_usd AS DOUBLE) AS cost_usd,
    served.cost_status,
    layers.model,
    layers.prompt,
    layers.retriever,
    layers.tools,
    layers.evaluator,
    calls.finish_reasons,
    calls.user_id,
    calls.conversation_id,
    judged.evaluations
FROM served
LEFT JOIN calls ON calls.trace_id = served.trace_id
LEFT JOIN tools ON tools.trace_id = served.trace_id
LEFT JOIN judged ON judged.trace_id = served.trace_id
LEFT JOIN layers ON layers.layers_id = served.layers_id;
