-- The members of every tuple that served a trace: one row a layer member and provenance.
CREATE OR REPLACE VIEW tuples AS
SELECT t.tuple_id, l.layer, l.name, l.version, l.provenance
FROM settled_traces AS t
JOIN settled_layers AS l ON l.trace_id = t.trace_id
UNION
SELECT t.tuple_id, l.layer, l.name, l.version, l.provenance
FROM live_traces AS t
JOIN live_layers AS l ON l.trace_id = t.trace_id;
