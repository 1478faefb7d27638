-- The last trace of a route that began at a time or before: which tuple was serving then.
CREATE OR REPLACE MACRO serving_trace(of_route, moment) AS TABLE
SELECT trace_id, tuple_id, start_time
FROM traces
WHERE route = of_route AND tuple_id IS NOT NULL AND start_time <= CAST(moment AS TIMESTAMP WITH TIME ZONE)
ORDER BY start_time DESC, trace_id
LIMIT 1;
