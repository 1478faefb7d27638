-- Every span, by the day (UTC) on which it began.
SELECT * FROM spans
