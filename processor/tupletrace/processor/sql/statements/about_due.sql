-- By which attributes what has no trace says that it is of what is due: the name that is forgotten ($own, $value), and
-- the conversations ($conversation) of which no trace is left.
CREATE OR REPLACE TEMPORARY TABLE about AS
SELECT unnest(CAST($own AS VARCHAR[])) AS key, CAST($value AS VARCHAR) AS value
UNION
SELECT unnest(CAST($conversation AS VARCHAR[])), conversation_id
FROM spans
WHERE conversation_id IS NOT NULL
GROUP BY conversation_id
HAVING bool_and(trace_id IN (FROM due));
