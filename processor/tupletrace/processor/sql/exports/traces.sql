-- Every trace with its tuple, cost and coverage, by the day (UTC) on which it began.
SELECT * FROM traces
