-- `tupletrace costs --by day`: USD per day (UTC), the dearest first.
SELECT *
FROM (
    SELECT
        CAST(start_time AT TIME ZONE 'UTC' AS DATE) AS day,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY day
) AS spent
ORDER BY day DESC;
