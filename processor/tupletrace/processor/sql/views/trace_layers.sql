-- Which layers took part in which trace: name, version, provenance, and the reason where one is missing.
CREATE OR REPLACE VIEW trace_layers AS
SELECT t.trace_id, l.layer, l.name, l.version, l.provenance, l.reason
FROM settled_traces AS t
JOIN settled_layers AS l ON l.layers_id = t.layers_id;
