-- The members of every tuple that served a trace: one row a layer member and provenance.
CREATE OR REPLACE VIEW tuples AS
SELECT DISTINCT t.tuple_id, l.layer, l.name, l.version, l.provenance
FROM (SELECT DISTINCT tuple_id, layers_id FROM settled_traces) AS t
JOIN settled_layers AS l ON l.layers_id = t.layers_id;
