-- `tupletrace costs --by conversation`: USD per conversation, the dearest first.
SELECT *
FROM (
    SELECT
        conversation_id,
        unnest(spending(calls))
    FROM llm_calls AS calls
    WHERE conversation_id IS NOT NULL
    GROUP BY conversation_id
) AS spent
ORDER BY cost_usd DESC NULLS LAST, conversation_id;
