-- Take away what the requests from $seq on have brought, as if the journal had been indexed up to there only.
INSERT INTO open_traces BY NAME
SELECT trace_id, min(journal_seq) AS first_seq
FROM spans
WHERE trace_id IN (SELECT trace_id FROM spans WHERE journal_seq >= $seq)
GROUP BY trace_id;

DELETE FROM spans WHERE journal_seq >= $seq;

DELETE FROM log_records WHERE journal_seq >= $seq;

DELETE FROM evaluation_results WHERE journal_seq >= $seq;

UPDATE meta SET value = $seq - 1 WHERE key = 'journal_seq';
