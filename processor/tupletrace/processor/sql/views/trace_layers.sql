-- Which layers took part in which trace: name, version, provenance, and the reason where one is missing.
CREATE OR REPLACE VIEW trace_layers AS
SELECT * EXCLUDE (settled_seq) FROM settled_layers
UNION ALL
SELECT * FROM live_layers;
