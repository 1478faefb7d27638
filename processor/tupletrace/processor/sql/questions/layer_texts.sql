-- The texts that are kept of a tuple's layers, one row a text: prompts, tool definitions, retrievers' settings.
CREATE OR REPLACE MACRO layer_texts(of_tuple, since := NULL, until := NULL) AS TABLE
WITH served AS (
    SELECT trace_id, CAST(NULL AS VARCHAR) AS route, tuple_id, first_seq, settled_seq
    FROM settled_traces
    WHERE tuple_id = of_tuple AND within(start_time, since, until)
)
SELECT layer, name, version, text, traces, first_seen, last_seen
FROM layer_texts_of('served')
ORDER BY layer, name, version, first_seen, text;
