-- What took part in each trace, by the day (UTC) on which the trace began.
SELECT layers.*, traces.day
FROM trace_layers AS layers
JOIN traces ON traces.trace_id = layers.trace_id
