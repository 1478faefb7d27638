-- The members of every tuple that served a trace: one row a layer member.
CREATE OR REPLACE VIEW tuples AS
SELECT tuple_id, layer, name, version, provenance FROM settled_tuples
UNION
SELECT t.tuple_id, l.layer, l.name, l.version, l.provenance
FROM live_traces AS t
JOIN live_layers AS l ON l.trace_id = t.trace_id;
