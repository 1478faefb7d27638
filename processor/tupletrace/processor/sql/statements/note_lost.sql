-- One row of lost_requests, once however often it is found.
INSERT INTO lost_requests
SELECT *, now()
FROM (VALUES (CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS VARCHAR))) AS found(journal_seq, requests, reason)
WHERE found.journal_seq NOT IN (SELECT journal_seq FROM lost_requests);
