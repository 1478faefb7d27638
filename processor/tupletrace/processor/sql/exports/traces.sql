-- Every trace with its tuple, cost and coverage, by the day (UTC) on which it began.
-- `layers_id` is of this database alone, and of a type that Spark does not read.
SELECT COLUMNS(lambda name: name <> 'layers_id') FROM traces
