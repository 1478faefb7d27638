-- The tuple that served a route at a time: that of the last trace that began then or before, and its layers.
CREATE OR REPLACE MACRO which_tuple(of_route, moment) AS TABLE
WITH served AS (
    SELECT trace_id, tuple_id, start_time
    FROM traces
    WHERE route = of_route AND tuple_id IS NOT NULL AND start_time <= CAST(moment AS TIMESTAMP WITH TIME ZONE)
    ORDER BY start_time DESC, trace_id
    LIMIT 1
)
SELECT served.tuple_id, layers.layer, layers.name, layers.version, layers.provenance, served.start_time, served.trace_id
FROM served
JOIN trace_layers AS layers ON layers.trace_id = served.trace_id
ORDER BY layers.layer, layers.name;
