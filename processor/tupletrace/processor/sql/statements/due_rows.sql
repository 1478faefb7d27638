-- Spans of due traces by the request that brought them.
SELECT journal_seq, count(*) AS spans
FROM spans
WHERE trace_id IN (FROM due)
GROUP BY journal_seq
ORDER BY journal_seq;
