-- Which version of each layer served which route, when first and last, and in how many traces.
CREATE OR REPLACE VIEW version_map AS
SELECT
    t.route,
    l.layer,
    l.name,
    l.version,
    l.provenance,
    count(DISTINCT t.trace_id) AS traces,
    min(t.start_time) AS first_seen,
    max(t.start_time) AS last_seen
FROM traces AS t
JOIN trace_layers AS l ON l.trace_id = t.trace_id
GROUP BY t.route, l.layer, l.name, l.version, l.provenance;
