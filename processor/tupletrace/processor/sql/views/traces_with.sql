-- One row a trace of `members`, without its cost. The entry span is the root, or the earliest while no root has come.
CREATE OR REPLACE MACRO traces_with(members, layers) AS TABLE
WITH rooted AS (
    SELECT trace_id FROM query_table(members) WHERE parent_span_id IS NULL
),
entries AS (
    SELECT *
    FROM (
        SELECT
            *,
            row_number() OVER (PARTITION BY trace_id ORDER BY start_unix_nano, span_id) AS position
        FROM query_table(members)
        WHERE parent_span_id IS NULL
           OR trace_id NOT IN (SELECT trace_id FROM rooted)
    ) AS ordered
    WHERE position = 1
),
totals AS (
    SELECT
        trace_id,
        min(day) AS day,
        min(start_time) AS start_time,
        max(start_unix_nano + duration_ns) - min(start_unix_nano) AS duration_ns,
        count(*) AS spans,
        max(route) AS declared_route,
        max(CASE WHEN parent_span_id IS NULL THEN 1 ELSE 0 END) AS roots,
        max(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END) AS errors,
        min(journal_seq) AS first_seq
    FROM query_table(members)
    GROUP BY trace_id
),
states AS (
    SELECT
        trace_id,
        max(CASE WHEN layer = 'model' THEN severity ELSE 0 END) AS model_severity,
        max(CASE WHEN layer = 'prompt' THEN severity ELSE 0 END) AS prompt_severity,
        max(CASE WHEN layer = 'retriever' THEN severity ELSE 0 END) AS retriever_severity,
        max(CASE WHEN layer = 'tools' THEN severity ELSE 0 END) AS tools_severity,
        max(CASE WHEN layer = 'evaluator' THEN severity ELSE 0 END) AS evaluator_severity,
        max(severity) AS worst,
        left(sha256(string_agg(member, chr(10) ORDER BY member)), 12) AS tuple_id
    FROM (
        SELECT
            trace_id,
            layer,
            CASE provenance WHEN 'missing' THEN 3 WHEN 'derived' THEN 2 ELSE 1 END AS severity,
            layer || chr(9) || coalesce(name, '') || chr(9) || coalesce(version, '?') AS member
        FROM query_table(layers)
    ) AS weighed
    GROUP BY trace_id
)
SELECT
    totals.trace_id,
    totals.day,
    coalesce(
        entries.http_route, totals.declared_route, entries.workflow_name, entries.agent_name, entries.name
    ) AS route,
    entries.service_name,
    totals.start_time,
    totals.duration_ns,
    totals.spans,
    CASE
        WHEN totals.roots = 1 THEN entries.status_code
        WHEN totals.errors = 1 THEN 'ERROR'
        ELSE 'UNSET'
    END AS status_code,
    states.tuple_id,
    provenance_label(states.model_severity) AS model_state,
    provenance_label(states.prompt_severity) AS prompt_state,
    provenance_label(states.retriever_severity) AS retriever_state,
    provenance_label(states.tools_severity) AS tools_state,
    provenance_label(states.evaluator_severity) AS evaluator_state,
    states.worst < 3 AS covered,
    totals.roots = 1 AS has_root,
    totals.first_seq
FROM totals
JOIN entries ON entries.trace_id = totals.trace_id
LEFT JOIN states ON states.trace_id = totals.trace_id;
