-- USD per day (UTC), the last first.
CREATE OR REPLACE VIEW costs_by_day AS
SELECT *
FROM (
    SELECT
        CAST(start_time AT TIME ZONE 'UTC' AS DATE) AS day,
        unnest(spending(calls))
    FROM llm_calls AS calls
    GROUP BY CAST(start_time AT TIME ZONE 'UTC' AS DATE)
) AS spent
ORDER BY day DESC;
