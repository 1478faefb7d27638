-- USD per conversation, the dearest first; NULL: calls of none.
CREATE OR REPLACE VIEW costs_by_conversation AS
SELECT *
FROM (
    SELECT
        conversation_id,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY conversation_id
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, conversation_id;
