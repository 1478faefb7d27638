-- One row a trace of `members`. `sets`: the `layers_id` of each; `tuples`: what each set comes to; `calls`: with their
-- costs. The entry span is the root, or the earliest while no root has come.
CREATE OR REPLACE MACRO traces_with(members, sets, tuples, calls) AS TABLE
WITH totals AS (
    SELECT
        trace_id,
        min(day) AS day,
        min(start_time) AS start_time,
        max(start_unix_nano + duration_ns) - min(start_unix_nano) AS duration_ns,
        count(*) AS spans,
        max(route) AS declared_route,
        arg_min(
            {
                'http_route': http_route,
                'workflow_name': workflow_name,
                'agent_name': agent_name,
                'name': name,
                'service_name': service_name,
                'status_code': status_code
            },
            (parent_span_id IS NOT NULL, start_unix_nano, span_id)
        ) AS entry,
        bool_or(parent_span_id IS NULL) AS has_root,
        bool_or(status_code = 'ERROR') AS failed,
        min(journal_seq) AS first_seq
    FROM query_table(members)
    GROUP BY trace_id
),
spend AS (FROM spend_of(calls))
SELECT
    totals.trace_id,
    coalesce(
        totals.entry.http_route,
        totals.declared_route,
        totals.entry.workflow_name,
        totals.entry.agent_name,
        totals.entry.name
    ) AS route,
    totals.entry.service_name AS service_name,
    totals.start_time,
    totals.day,
    totals.duration_ns,
    totals.spans,
    coalesce(spend.llm_calls, 0) AS llm_calls,
    spend.input_tokens,
    spend.output_tokens,
    spend.cost_usd,
    spend.cost_status,
    coalesce(spend.unpriced_calls, 0) AS unpriced_calls,
    spend.estimated_cost_usd,
    CASE
        WHEN totals.has_root THEN totals.entry.status_code
        WHEN totals.failed THEN 'ERROR'
        ELSE 'UNSET'
    END AS status_code,
    tuples.tuple_id,
    coalesce(tuples.model_state, 'not_applicable') AS model_state,
    coalesce(tuples.prompt_state, 'not_applicable') AS prompt_state,
    coalesce(tuples.retriever_state, 'not_applicable') AS retriever_state,
    coalesce(tuples.tools_state, 'not_applicable') AS tools_state,
    coalesce(tuples.evaluator_state, 'not_applicable') AS evaluator_state,
    tuples.covered,
    totals.has_root,
    sets.layers_id,
    totals.first_seq
FROM totals
LEFT JOIN query_table(sets) AS sets ON sets.trace_id = totals.trace_id
LEFT JOIN query_table(tuples) AS tuples ON tuples.layers_id = sets.layers_id
LEFT JOIN spend ON spend.trace_id = totals.trace_id;
