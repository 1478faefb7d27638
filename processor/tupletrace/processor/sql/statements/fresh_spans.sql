-- Places in the batch of what is to be stored: the first delivery of each span, if none is stored already.
-- $since: the first request of any trace of the batch that was met before; NULL: all are new.
SELECT min(delivered.place) AS place
FROM (SELECT row_number() OVER () - 1 AS place, trace_id, span_id, start_unix_nano FROM batch) AS delivered
WHERE NOT EXISTS (
    SELECT 1
    FROM spans AS stored
    WHERE stored.journal_seq >= $since
      AND stored.trace_id = delivered.trace_id
      AND stored.span_id = delivered.span_id
      AND stored.start_unix_nano = delivered.start_unix_nano
)
GROUP BY delivered.trace_id, delivered.span_id, delivered.start_unix_nano
ORDER BY place;
