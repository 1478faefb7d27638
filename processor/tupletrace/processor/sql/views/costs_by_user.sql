-- USD per user, the dearest first; NULL: calls of nobody known.
CREATE OR REPLACE VIEW costs_by_user AS
SELECT *
FROM (
    SELECT
        user_id,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY user_id
) AS spent
ORDER BY cost_usd DESC NULLS LAST, estimated_cost_usd DESC NULLS LAST, user_id;
