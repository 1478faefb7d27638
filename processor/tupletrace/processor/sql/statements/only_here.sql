-- How many requests brought something that is here and that the journal cannot give again: those before $first and
-- after $last, its first and its last, and those of `lost`, which nobody can read. 0: nobody noted which request it
-- was; a journal that is there from its beginning has it.
SELECT count(*) AS requests
FROM (
    SELECT journal_seq FROM spans
    UNION
    SELECT journal_seq FROM log_records
    UNION
    SELECT journal_seq FROM evaluation_results
) AS brought
WHERE greatest(journal_seq, 1) < $first
    OR journal_seq > $last
    OR EXISTS (
        SELECT 1
        FROM lost
        WHERE brought.journal_seq >= lost.journal_seq AND brought.journal_seq < lost.journal_seq + lost.requests
    );
