-- The tuple that served a route at a time, with its layers: that of the last trace that began then or before.
CREATE OR REPLACE MACRO which_tuple(of_route, moment) AS TABLE
SELECT served.tuple_id, layers.layer, layers.name, layers.version, layers.provenance, served.start_time, served.trace_id
FROM serving_trace(of_route, moment) AS served
JOIN trace_layers AS layers ON layers.trace_id = served.trace_id
ORDER BY layers.layer, layers.name;
