-- What is kept of the layers of `served` (settled_traces, or some of their columns): a prompt's text, the tools' definitions, how a
-- retriever was set. One row a text, with the traces it was in, when first and last: a label may have been used for two.
-- What a version was derived from is one text, whatever days and names were said in it: the last is shown.
CREATE OR REPLACE MACRO layer_texts_of(served) AS TABLE
WITH kept AS (
    SELECT
        served.route,
        served.tuple_id,
        spans.trace_id,
        spans.start_time,
        unnest([
            {
                'layer': 'prompt',
                'name': spans.prompt_name,
                'version': spans.prompt_version,
                'said': coalesce(spans.prompt_template, spans.system_instructions, spans.input_messages),
                'by_text': spans.prompt_provenance IS DISTINCT FROM 'derived'
            },
            {
                'layer': 'tools',
                'name': spans.tools_names,
                'version': spans.tools_version,
                'said': spans.tool_definitions,
                'by_text': false
            },
            {
                'layer': 'retriever',
                'name': coalesce(spans.retriever_name, spans.data_source_id, spans.name),
                'version': CASE WHEN spans.operation_name = 'retrieval' THEN spans.retriever_version END,
                'said': CASE WHEN spans.operation_name = 'retrieval' THEN nullif(
                    array_to_string(
                        list_sort([
                            entry.key || ' = ' || entry.value
                            for entry in map_entries(spans.attributes)
                            if regexp_matches(entry.key, '^(gen_ai\.(data_source|retrieval|request|provider|embeddings)|tupletrace\.retriever|db|ls)[._]')
                                AND NOT regexp_matches(entry.key, 'query|document|versions?$|results')
                        ]),
                        chr(10)
                    ),
                    ''
                ) END,
                'by_text': true
            }
        ]) AS layer
    FROM query_table(served) AS served
    JOIN spans ON spans.trace_id = served.trace_id
    WHERE (spans.prompt_version IS NOT NULL OR spans.tools_version IS NOT NULL OR spans.operation_name = 'retrieval')
      AND spans.journal_seq >= (SELECT min(first_seq) FROM query_table(served))
      AND spans.journal_seq <= (SELECT max(settled_seq) FROM query_table(served))
),
texts AS (
    SELECT
        route,
        tuple_id,
        layer.layer AS layer,
        layer.name AS name,
        layer.version AS version,
        arg_max(layer.said, (start_time, trace_id)) AS said,
        count(DISTINCT trace_id) AS traces,
        min(start_time) AS first_seen,
        max(start_time) AS last_seen
    FROM kept
    WHERE layer.version IS NOT NULL AND layer.said IS NOT NULL
    GROUP BY route, tuple_id, layer.layer, layer.name, layer.version, CASE WHEN layer.by_text THEN prompt_text(layer.said) END
)
SELECT
    route,
    tuple_id,
    layer,
    name,
    version,
    CASE WHEN layer = 'prompt' THEN prompt_text(said) ELSE said END AS text,
    traces,
    first_seen,
    last_seen
FROM texts
WHERE text IS NOT NULL;
