-- `tupletrace costs --by user`: USD per user, the dearest first.
SELECT *
FROM (
    SELECT
        user_id,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY user_id
) AS spent
ORDER BY cost_usd DESC NULLS LAST, user_id;
