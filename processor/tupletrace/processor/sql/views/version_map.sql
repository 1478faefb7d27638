-- Which version of each layer served which route, when first and last, and in how many traces.
CREATE OR REPLACE VIEW version_map AS
WITH served AS (
    SELECT route, layers_id, count(*) AS traces, min(start_time) AS first_seen, max(start_time) AS last_seen
    FROM settled_traces
    GROUP BY route, layers_id
)
SELECT
    s.route,
    l.layer,
    l.name,
    l.version,
    l.provenance,
    CAST(sum(s.traces) AS BIGINT) AS traces,
    min(s.first_seen) AS first_seen,
    max(s.last_seen) AS last_seen
FROM served AS s
JOIN (SELECT DISTINCT layers_id, layer, name, version, provenance FROM settled_layers) AS l ON l.layers_id = s.layers_id
GROUP BY s.route, l.layer, l.name, l.version, l.provenance;
