-- What each set of layers comes to: its tuple, the worst provenance in each layer, whether all of it is identified.
CREATE OR REPLACE MACRO tuples_of(layers) AS TABLE
SELECT
    layers_id,
    left(sha256(string_agg(member, chr(10) ORDER BY member)), 12) AS tuple_id,
    provenance_label(max(CASE WHEN layer = 'model' THEN severity END)) AS model_state,
    provenance_label(max(CASE WHEN layer = 'prompt' THEN severity END)) AS prompt_state,
    provenance_label(max(CASE WHEN layer = 'retriever' THEN severity END)) AS retriever_state,
    provenance_label(max(CASE WHEN layer = 'tools' THEN severity END)) AS tools_state,
    provenance_label(max(CASE WHEN layer = 'evaluator' THEN severity END)) AS evaluator_state,
    max(severity) < 3 AS covered
FROM (
    SELECT
        layers_id,
        layer,
        CASE provenance WHEN 'missing' THEN 3 WHEN 'derived' THEN 2 ELSE 1 END AS severity,
        layer || chr(9) || coalesce(name, '') || chr(9) || coalesce(version, '?') AS member
    FROM query_table(layers)
) AS weighed
GROUP BY layers_id;
