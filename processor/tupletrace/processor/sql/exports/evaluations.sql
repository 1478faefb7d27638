-- Every evaluation as it came, and whether that is a pass by the settings of now, by the day (UTC) of its time.
SELECT results.*, evaluations.passed, CAST(results.time AT TIME ZONE 'UTC' AS DATE) AS day
FROM evaluation_results AS results
JOIN evaluations ON evaluations.evaluation_id = results.evaluation_id
