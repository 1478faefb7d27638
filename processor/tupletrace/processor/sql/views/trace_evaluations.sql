-- Which evaluations are of which trace: those of it and of its spans, and those of its whole conversation.
CREATE OR REPLACE VIEW trace_evaluations AS
SELECT * FROM evaluations WHERE trace_id IS NOT NULL
UNION ALL
SELECT evaluations.* REPLACE (parts.trace_id AS trace_id)
FROM evaluations
JOIN (
    SELECT DISTINCT conversation_id, trace_id
    FROM llm_calls
    WHERE conversation_id IN (SELECT conversation_id FROM evaluation_results WHERE trace_id IS NULL)
) AS parts
    ON parts.conversation_id = evaluations.conversation_id
WHERE evaluations.trace_id IS NULL;
