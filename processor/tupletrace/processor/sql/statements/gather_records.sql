-- Of each span that a new record tells of, or that is new and was told of before: all that was said of it.
CREATE OR REPLACE TEMPORARY TABLE gathered AS
WITH meant AS (
    SELECT trace_id, span_id FROM records WHERE span_id IS NOT NULL
    UNION
    SELECT batch.trace_id, batch.span_id
    FROM batch
    JOIN log_records AS earlier ON earlier.trace_id = batch.trace_id AND earlier.span_id = batch.span_id
)
SELECT
    said.trace_id,
    said.span_id,
    min(said.time_unix_nano) AS first_unix_nano,
    list(
        {'time_unix_nano': said.time_unix_nano, 'name': said.name, 'attributes': said.attributes}
        ORDER BY said.time_unix_nano, said.journal_seq
    ) AS events
FROM (
    SELECT trace_id, span_id, time_unix_nano, name, attributes, min(journal_seq) AS journal_seq
    FROM log_records
    GROUP BY trace_id, span_id, time_unix_nano, name, attributes
) AS said
JOIN meant ON meant.trace_id = said.trace_id AND meant.span_id = said.span_id
GROUP BY said.trace_id, said.span_id;
