-- Every LLM call once, with its cost by the prices of now, by the day (UTC) on which it began.
SELECT *, CAST(start_time AT TIME ZONE 'UTC' AS DATE) AS day FROM llm_calls
